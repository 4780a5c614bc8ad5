"""`pipe run --ref`, and the line of `pipe runs show` that does a run again, as processes in a real repository."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe
from tests.repositories import commit, git, repository, write

WORK = '''
from dataclasses import dataclass
from pathlib import Path

import told
from swath import OutputPath, Spec, pipeline, task
from .words import GREETING


@dataclass(frozen=True)
class Told:
    words: str


class Say(Spec):
    who: str
    to: OutputPath


@task
def greet(who: str) -> Told:
    import told_late

    return Told(f"{GREETING} {who}, {told.WORDS}, {told_late.WORDS}")


@task(cache=False)
def write(what: Told, *, to: str) -> str:
    Path(to).write_text(what.words)
    return to


@pipeline
def say(spec: Say):
    """Greet somebody."""
    return write(greet(spec.who), to=spec.to)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose first commit greets with `hello`, and its second with `good day`; nothing is committed after that."""
    folder = repository(
        tmp_path / "project",
        {
            ".gitignore": "said.txt\n",
            "swath.yaml": "clusters:\n  mine: {kind: inline}\n",
            "specs/say.yaml": "pipeline: say\nwho: first\nto: said.txt\ncluster: inline\n",
            "pipelines/say.py": WORK,
            "pipelines/words.py": "GREETING = 'hello'\n",
            "lib/told.py": "WORDS = 'old words'\n",
            "lib/told_late.py": "WORDS = 'old late words'\n",
        },
    )
    git(folder, "tag", "v1")
    return commit(
        folder,
        {
            "swath.yaml": "",
            "specs/say.yaml": "pipeline: say\nwho: second\nto: said.txt\ncluster: inline\n",
            "pipelines/words.py": "GREETING = 'good day'\n",
            "lib/told.py": "WORDS = 'new words'\n",
            "lib/told_late.py": "WORDS = 'new late words'\n",
        },
    )


@pytest.fixture
def env(env: dict[str, str], project: Path) -> dict[str, str]:
    """As always, with a library of the project on the path and no settings of git's."""
    kept = {key: value for key, value in env.items() if key != "SWATH_HOME"}
    return kept | {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(project / "lib")])}


FIRST = "hello first, old words, old late words"
SECOND = "good day second, new words, new late words"


def said(project: Path) -> str:
    text = (project / "said.txt").read_text()
    (project / "said.txt").unlink()
    return text


def shown(pipe: Pipe, run: str = "last") -> dict[str, object]:
    return json.loads(pipe("runs", "show", run, "--json").stdout)


def again(pipe: Pipe, project: Path, env: dict[str, str]) -> str:
    """The line as `pipe runs show last` prints it, given to a shell."""
    lines = pipe("runs", "show", "last").stdout.splitlines()
    line = next(line.removeprefix("again").strip() for line in lines if line.startswith("again"))
    script = f'pipe() {{ {shlex.quote(sys.executable)} -m swath.cli "$@"; }}; {line}'
    done = subprocess.run(
        ["sh", "-c", script], cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return line


def test_a_run_of_a_commit_takes_its_spec_pipelines_imports_and_clusters_and_leaves_only_the_output(
    pipe: Pipe, project: Path
) -> None:
    done = pipe("run", "specs/say.yaml", "--ref", "v1", "--cluster", "mine")
    assert (done.returncode, done.stdout) == (0, f"{project / 'said.txt'}\n"), done.stderr
    assert said(project) == FIRST
    assert shown(pipe)["git"] == {
        "commit": git(project, "rev-parse", "v1").strip(), "branch": "", "dirty": False, "spec": "specs/say.yaml",
        "changes": "", "ref": "v1",
    }  # fmt: skip
    assert sorted(path.name for path in (project / ".swath" / "worktrees").iterdir()) == ["lock"]
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert git(project, "status", "--porcelain", "--untracked-files=no") == ""


def test_results_are_shared_between_a_commit_and_the_files_that_are_like_it(pipe: Pipe, project: Path) -> None:
    assert "2 calls" in pipe("run", "specs/say.yaml").stderr
    assert "1 call, 1 reused" in pipe("run", "specs/say.yaml", "--ref", "HEAD").stderr
    assert said(project) == SECOND
    write(project, {"pipelines/words.py": "GREETING = 'later'\n"})
    assert "1 call, 1 reused" in pipe("run", "specs/say.yaml", "--ref", "main").stderr
    assert said(project) == SECOND


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["specs/say.yaml", "--ref", "nope"], "there is no commit 'nope'"),
        (["specs/other.yaml", "--ref", "v1"], "specs/other.yaml is not in commit"),
        (["../outside.yaml", "--ref", "v1"], "is in no git repository"),
        (["specs/say.yaml", "--patch", "some.diff"], "name the commit with --ref"),
        (["specs/say.yaml", "--ref", "v1", "--patch", "some.diff"], "there is no patch"),
    ],
)
def test_what_cannot_be_taken_from_a_commit_exits_2_and_says_why(
    pipe: Pipe, project: Path, words: list[str], text: str
) -> None:
    write(project, {"../outside.yaml": "pipeline: say\n", "specs/other.yaml": "pipeline: say\n"})
    done = pipe("run", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert pipe("runs", "--json").stdout == "[]\n"


def test_a_mistake_in_the_commits_spec_exits_2_with_its_line(pipe: Pipe, project: Path) -> None:
    commit(project, {"specs/say.yaml": "pipeline: say\nwoh: x\n"})
    write(project, {"specs/say.yaml": "pipeline: say\n"})
    done = pipe("run", "specs/say.yaml", "--ref", "HEAD")
    assert done.returncode == 2
    assert "specs/say.yaml:2:1: woh" in done.stderr


@pytest.mark.slow
def test_a_run_of_a_commit_is_resumed_with_the_code_of_that_commit(
    pipe: Pipe, project: Path, env: dict[str, str]
) -> None:
    waiting = WORK.replace(
        "    import told_late\n", "    import time, told_late\n    print('waits')\n    time.sleep(2)\n"
    )
    commit(project, {"pipelines/say.py": waiting})
    git(project, "tag", "waits")
    commit(
        project, {"pipelines/say.py": "raise ImportError('broken since')\n", "specs/say.yaml": "pipeline: nothing\n"}
    )
    command = [sys.executable, "-m", "swath.cli", "run", "specs/say.yaml", "--ref", "waits", "--json"]
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if '"waits"' in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert len(git(project, "worktree", "list").splitlines()) == 2
    git(project, "tag", "--delete", "waits")
    done = pipe("resume", "last")
    assert done.returncode == 0, done.stderr
    assert said(project) == SECOND
    assert shown(pipe)["git"]["ref"] == "waits"  # type: ignore[index]
    assert len(git(project, "worktree", "list").splitlines()) == 1


@pytest.mark.slow
def test_the_line_of_a_clean_run_does_it_again_after_everything_changed(
    pipe: Pipe, project: Path, env: dict[str, str]
) -> None:
    pipe("run", "specs/say.yaml", "--set", "who=it's me", "--cluster", "inline")
    text = said(project)
    assert text.startswith("good day it's me")
    commit(project, {"specs/say.yaml": "pipeline: nothing\n", "pipelines/words.py": "GREETING = 'later'\n"})
    line = again(pipe, project, env)
    assert said(project) == text
    assert "--patch" not in line
    assert again(pipe, project, env) == line


@pytest.mark.slow
def test_the_line_of_a_run_with_changes_does_it_again_with_them(pipe: Pipe, project: Path, env: dict[str, str]) -> None:
    write(
        project,
        {
            "pipelines/words.py": "from .more import GREETING\n",
            "pipelines/more.py": "GREETING = 'uncommitted'\n",
            "specs/new.yaml": "pipeline: say\nwho: new\nto: said.txt\ncluster: inline\n",
        },
    )
    assert pipe("run", "new.yaml", cwd=project / "specs").returncode == 0
    text = said(project)
    assert text == "uncommitted new, new words, new late words"
    assert "with uncommitted changes" in pipe("runs", "show", "last").stdout
    (project / "pipelines" / "more.py").unlink()
    (project / "specs" / "new.yaml").unlink()
    git(project, "checkout", "--quiet", ".")
    first = shown(pipe)["id"]
    line = again(pipe, project, env)
    assert "--patch" in line
    assert said(project) == text
    assert shown(pipe)["id"] != first
    assert again(pipe, project, env).partition(" --patch ")[0] == line.partition(" --patch ")[0]
    assert said(project) == text
    assert pipe("resume", "last").returncode == 0
    assert said(project) == text


def test_the_report_names_the_commit_and_the_line(pipe: Pipe, project: Path) -> None:
    write(project, {"pipelines/words.py": "GREETING = 'uncommitted'\n"})
    pipe("run", "say.yaml", cwd=project / "specs")
    run = str(shown(pipe)["id"])
    folder = project / ".swath" / "runs" / run
    told = json.loads((folder / "report.json").read_text())
    head = git(project, "rev-parse", "HEAD").strip()
    assert told["git"]["commit"] == head
    patch = f".swath/runs/{run}/changes.diff"
    assert told["command"] == f"pipe run --ref {head[:12]} --patch {patch} specs/say.yaml"
    assert "+GREETING = 'uncommitted'" in (project / patch).read_text()
    page = (folder / "report.html").read_text()
    assert head in page
    assert "uncommitted changes" in page


def test_a_secret_is_in_no_diff_that_a_run_keeps(pipe: Pipe, project: Path) -> None:
    write(
        project,
        {
            "specs/say.yaml": 'pipeline: say\nto: said.txt\nwho: "${env:TOKEN}"\ncluster: inline\n',
            "pipelines/words.py": "GREETING = 'canary-4711'\n",
        },
    )
    assert pipe("run", "specs/say.yaml", TOKEN="canary-4711").returncode == 0
    folder = project / ".swath" / "runs" / str(shown(pipe)["id"])
    assert "+GREETING = " in (folder / "changes.diff").read_text()
    for file in folder.iterdir():
        assert b"canary-4711" not in file.read_bytes()
    assert "contained secrets" in pipe("runs", "show", "last").stdout


def test_a_run_in_a_repository_that_git_does_not_read_is_done_and_says_why_it_has_no_commit(
    pipe: Pipe, project: Path
) -> None:
    (project / ".git" / "config").write_text("[broken\n")
    done = pipe("run", "specs/say.yaml")
    assert done.returncode == 0, done.stderr
    assert "warning: the commit of the project cannot be recorded: bad config line 1 in file" in done.stderr
    shown = pipe("runs", "show", "last").stdout
    assert "commit    not recorded: bad config line 1" in shown
    assert "may differ: git did not read the repository" in shown
    refused = pipe("run", "specs/say.yaml", "--ref", "HEAD")
    assert refused.returncode == 2
    assert "git does not read the repository of" in refused.stderr
    assert "bad config line 1" in refused.stderr
