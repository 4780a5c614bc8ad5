from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from swath.project import uncommitted
from swath.project.git import Repository
from swath.project.provenance import CodeSource, Reproduction, reproduction
from swath.project.uncommitted import Changes
from tests.repositories import contents, git, repository, write

FILES: dict[str, str | bytes] = {
    "specs/a.yaml": "pipeline: a\n",
    "swath.yaml": "",
    "pipelines/a.py": "one = 1\ntwo = 2\n",
    "pipelines/gone.py": "gone\n",
    "data/picture.bin": bytes(range(256)) * 9,
    'odd/sp ace\n"ä".txt': "old\n",
    "old-name.txt": "the same words\n" * 9,
}
HOSTILE = {
    "diff.external": "false",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.renames": "copies",
    "diff.context": "0",
    "diff.relative": "true",
    "color.ui": "always",
    "core.pager": "false",
    "core.quotePath": "false",
    "status.showUntrackedFiles": "no",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return repository(tmp_path / "project", FILES)


def source(project: Path, text: str | None = None, scrub: uncommitted.Callable[[str], str] = str) -> CodeSource:
    spec = project / "specs" / "a.yaml"
    used = [project / "pipelines", project / "swath.yaml"]
    return CodeSource.of_files((spec, spec.read_bytes().decode() if text is None else text), project, used, scrub)


def test_a_clean_repository_gives_its_commit_and_branch_and_no_diff(project: Path) -> None:
    found = source(project)
    commit = git(project, "rev-parse", "HEAD").strip()
    assert found.git == {"commit": commit, "branch": "main", "dirty": False, "spec": "specs/a.yaml", "changes": ""}
    assert found.diff == ""
    git(project, "checkout", "--quiet", "--detach")
    assert source(project).git["branch"] == ""


def test_without_a_repository_a_commit_or_git_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"plain/specs/a.yaml": "", "new/specs/a.yaml": ""})
    git(tmp_path / "new", "init", "--quiet")
    assert source(tmp_path / "plain") == source(tmp_path / "new") == CodeSource()
    repository(tmp_path / "full", FILES)
    monkeypatch.setenv("PATH", "")
    assert source(tmp_path / "full") == CodeSource()


@pytest.mark.parametrize("settings", [{}, HOSTILE])
def test_the_kept_changes_put_on_the_commit_give_the_files_that_the_run_used(
    project: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        git(project, "config", name, value)
    write(
        project,
        {
            "pipelines/a.py": "one = 1\ntwo = 3",
            "data/picture.bin": bytes(reversed(range(256))),
            'odd/sp ace\n"ä".txt': b"not \xff UTF-8\n",
            "pipelines/new ü.py": "new = 1\n",
            "pipelines/deep/er.py": "deep = 1",
            "pipelines/empty.py": "",
            "specs/a.yaml": "pipeline: b\r\n",
        },
    )
    (project / "pipelines" / "gone.py").unlink()
    (project / "old-name.txt").rename(project / "new-name.txt")
    git(project, "add", "new-name.txt")
    (project / "pipelines" / "link.py").symlink_to("a.py")
    (project / "data" / "picture.bin").chmod(0o755)
    found = source(project)
    assert (found.git["dirty"], found.git["changes"]) == (True, "whole")
    found.write(tmp_path / "run")
    git(project, "worktree", "add", "--quiet", "--detach", str(tmp_path / "copy"), found.git["commit"])
    git(tmp_path / "copy", "apply", "--whitespace=nowarn", str(tmp_path / "run" / uncommitted.FILE))
    assert contents(tmp_path / "copy") == contents(project)
    assert (tmp_path / "copy" / "data" / "picture.bin").stat().st_mode & 0o100


def test_only_untracked_files_that_the_run_used_count_and_ignored_ones_do_too(project: Path) -> None:
    write(
        project,
        {
            "notes.txt": "private words\n",
            "pipelines/__pycache__/a.pyc": b"bytes",
            "out/map.tif": b"II*\0",
        },
    )
    assert source(project) == CodeSource(source(project).git | {"dirty": False, "changes": ""})
    write(project, {".git/info/exclude": "pipelines/mine.py\n", "pipelines/mine.py": "mine = 1\n"})
    assert "+mine = 1" in source(project).diff
    assert source(project).git["dirty"] is True


def test_of_pipelines_at_the_top_of_a_repository_only_python_counts(project: Path) -> None:
    write(project, {"lone.py": "lone = 1\n", "out/map.txt": "much\n"})
    found = CodeSource.of_files((project / "specs" / "a.yaml", "pipeline: a\n"), project, [project])
    assert "+lone = 1" in found.diff
    assert "much" not in found.diff


def test_the_text_of_the_spec_that_the_run_had_is_kept_when_the_file_has_another(project: Path, tmp_path: Path) -> None:
    write(project, {"specs/a.yaml": "pipeline: written later\n"})
    assert source(project, "pipeline: a\n").git["dirty"] is False
    found = source(project, "pipeline: taken up\n")
    found.write(tmp_path)
    git(project, "checkout", "--quiet", "specs/a.yaml")
    git(project, "apply", str(tmp_path / uncommitted.FILE))
    assert (project / "specs" / "a.yaml").read_text() == "pipeline: taken up\n"


def test_secrets_are_in_no_diff(project: Path) -> None:
    write(project, {"pipelines/a.py": "one = 'canary-4711'\ntwo = 2\n", "pipelines/b.py": "token = 'canary-4711'\n"})
    found = source(project, scrub=lambda text: text.replace("canary-4711", "${env:TOKEN}"))
    assert "canary-4711" not in found.diff
    assert "+token = '${env:TOKEN}'" in found.diff
    assert found.git["changes"] == "scrubbed"


def test_large_changes_are_named_and_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncommitted, "LARGEST_FILE", 1000)
    write(project, {"data/picture.bin": b"x" * 1001, "pipelines/large.py": "#" * 1001, "pipelines/a.py": "small = 1\n"})
    found = source(project)
    assert found.git["changes"] == "cut"
    assert "'data/picture.bin'" in found.diff
    assert "'pipelines/large.py'" in found.diff
    assert "+small = 1" in found.diff
    assert "##" not in found.diff


def test_a_diff_that_is_too_large_ends_after_a_whole_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncommitted, "LARGEST", 2000)
    write(project, {"pipelines/a.py": "first = 1\n", "pipelines/z.py": "last = 1\n" * 900})
    found = source(project)
    assert found.git["changes"] == "cut"
    assert "# Cut" in found.diff
    assert "last = 1" not in found.diff
    found.write(tmp_path)
    git(project, "checkout", "--quiet", ".")
    git(project, "apply", str(tmp_path / uncommitted.FILE))
    assert (project / "pipelines" / "a.py").read_text() == "first = 1\n"


def test_a_hook_of_another_repository_does_not_mislead(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other", {"a": "b"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    found = Repository.around(project / "specs" / "not there any more")
    assert found is not None
    assert found.top == Path(os.path.realpath(project))
    assert found.head() == git(project, "rev-parse", "HEAD").strip()


def test_a_diff_of_an_earlier_session_goes_when_there_is_none(project: Path, tmp_path: Path) -> None:
    CodeSource({}, "something").write(tmp_path)
    assert (tmp_path / uncommitted.FILE).read_text() == "something"
    CodeSource().write(tmp_path)
    assert not (tmp_path / uncommitted.FILE).exists()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("git_of_run", "line", "caveat"),
    [
        ({}, "pipe run a.yaml", "not under version control"),
        ({"commit": COMMIT, "dirty": False, "spec": "s/a.yaml"}, "pipe run --ref 0123456789ab s/a.yaml", ""),
        (
            {"commit": COMMIT, "dirty": True, "spec": "s/a.yaml", "changes": "whole"},
            "pipe run --ref 0123456789ab --patch .swath/runs/R/changes.diff s/a.yaml",
            "",
        ),
        ({"commit": COMMIT, "dirty": True, "spec": "s/a.yaml", "changes": "cut"}, "pipe run s/a.yaml", "too large"),
        ({"commit": COMMIT, "dirty": True, "spec": "s/a.yaml", "changes": "scrubbed"}, "pipe run s/a.yaml", "secrets"),
        ({"commit": COMMIT, "dirty": True}, "pipe run a.yaml", "not kept"),
    ],
)
def test_the_line_that_does_it_again_takes_the_commit_and_says_when_it_cannot(
    tmp_path: Path, git_of_run: dict[str, object], line: str, caveat: str
) -> None:
    found = reproduction("a.yaml", (), git_of_run, tmp_path, tmp_path / ".swath" / "runs" / "R", tmp_path)
    assert found.line == line
    assert caveat in found.caveat
    assert bool(caveat) == bool(found.caveat)


def test_the_line_that_does_it_again_is_quoted_for_a_shell_and_names_paths_from_elsewhere_in_full(
    tmp_path: Path,
) -> None:
    overrides = ("cluster=two", "words=[a, 'b c']", "cluster.workers=3")
    git_of_run = {"commit": COMMIT, "dirty": False, "spec": "my specs/a.yaml"}
    found = reproduction("a.yaml", overrides, git_of_run, tmp_path, tmp_path, tmp_path / "elsewhere")
    words = ["--cluster", "two", "--set", "words=[a, 'b c']", "--set", "cluster.workers=3"]
    path = str(tmp_path / "my specs" / "a.yaml")
    assert shlex.split(found.line) == ["pipe", "run", "--ref", COMMIT[:12], path, *words]
    assert found == Reproduction(found.line)


def test_changes_are_true_when_there_are_any() -> None:
    assert not Changes()
    assert Changes("# left out\n", "cut")


def test_files_outside_of_a_repository_have_no_commit(tmp_path: Path) -> None:
    assert CodeSource.of_files((tmp_path / "spec.yaml", ""), tmp_path, []) == CodeSource()
