from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swath.errors import SpecError, StateError, UsageError
from swath.project.git import Repository
from swath.project.project import Project
from swath.project.worktree import WORKTREES, Worktree, checkout
from tests.process import ROOT
from tests.repositories import commit, contents, git, repository, write

FILES: dict[str, str | bytes] = {
    "specs/a.yaml": "pipeline: old\n",
    "swath.yaml": "clusters: {one: {kind: local, workers: 1}}\nstate: old-state\n",
    "pipelines/a.py": "old = True\n",
}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A project whose first commit has FILES, and whose second has others."""
    folder = repository(tmp_path / "project", FILES)
    git(folder, "tag", "first")
    return commit(folder, {"specs/a.yaml": "pipeline: new\n", "swath.yaml": "", "pipelines/a.py": "new = True\n"})


@pytest.fixture
def repo(top: Path) -> Repository:
    found = Repository.around(top)
    assert found is not None
    return found


def left(repo: Repository, state: Path) -> list[str]:
    """What there is of worktrees: as git knows, and in the state folder."""
    known = [line for line in git(repo.top, "worktree", "list", "--porcelain").splitlines() if line[:8] == "worktree"]
    return [*known[1:], *(path.name for path in (state / WORKTREES).iterdir() if path.name != "lock")]


def test_the_files_of_the_commit_are_there_and_gone_afterwards_whatever_happened(
    repo: Repository, tmp_path: Path
) -> None:
    with checkout(repo, repo.commit("first"), tmp_path / "state") as tree:
        assert contents(tree.folder) == {name: str(text).encode() for name, text in FILES.items()}
        assert tree.spec(repo.top / "specs" / "a.yaml") == "pipeline: old\n"
        (tree.folder / "pipelines" / "__pycache__").mkdir()
    assert left(repo, tmp_path / "state") == []
    with pytest.raises(KeyboardInterrupt), checkout(repo, repo.commit("HEAD"), tmp_path / "state"):
        raise KeyboardInterrupt
    assert left(repo, tmp_path / "state") == []
    assert git(repo.top, "status", "--porcelain") == ""


def test_a_patch_is_put_on_the_commit_or_refused_with_nothing_left(repo: Repository, tmp_path: Path) -> None:
    write(repo.top, {"pipelines/a.py": "newer = True\n"})
    patch = tmp_path / "patch"
    patch.write_text(git(repo.top, "diff"))
    with checkout(repo, repo.commit("HEAD"), tmp_path / "state", patch) as tree:
        assert (tree.folder / "pipelines" / "a.py").read_text() == "newer = True\n"
    for commit_, wrong in (("first", patch), ("HEAD", tmp_path / "missing")):
        with (
            pytest.raises(UsageError, match="patch"),
            checkout(repo, repo.commit(commit_), tmp_path / "state", wrong),
        ):
            pass
    assert left(repo, tmp_path / "state") == []


HOLDER = """
import sys, time
from pathlib import Path
from swath.project.git import Repository
from swath.project.worktree import checkout
repo = Repository.around(Path(sys.argv[1]))
with checkout(repo, repo.commit("first"), Path(sys.argv[2])) as tree:
    print(tree.folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_at_the_next_use_and_what_a_living_one_has_stays(
    repo: Repository, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-c", HOLDER, str(repo.top), str(state)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    holders = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        folders = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout]
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait(10)
        assert folders[0].is_dir()
        with checkout(repo, repo.commit("HEAD"), state):
            assert [folder.is_dir() for folder in folders] == [False, True]
        assert (folders[1] / "specs" / "a.yaml").is_file()
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    with checkout(repo, repo.commit("HEAD"), state):
        assert not folders[1].exists()
    assert left(repo, state) == []


def test_a_worktree_whose_making_was_cut_off_and_one_of_a_lost_repository_are_cleared(
    repo: Repository, tmp_path: Path
) -> None:
    home = tmp_path / "state" / WORKTREES
    write(
        home,
        {
            "cut/file": "",
            "cut.lock": str(repo.top),
            "lost/file": "",
            "lost.lock": str(tmp_path / "gone"),
            "no.lock": "",
        },
    )
    git(repo.top, "worktree", "add", "--quiet", "--detach", str(home / "bare"))
    git(repo.top, "worktree", "lock", "--reason", "initializing", str(home / "bare"))
    (home / "bare" / ".git").unlink()
    write(home, {"bare.lock": str(repo.top)})
    with checkout(repo, repo.commit("HEAD"), tmp_path / "state"):
        pass
    assert left(repo, tmp_path / "state") == []


def test_other_worktrees_of_the_user_are_left_alone_and_no_hook_runs(repo: Repository, tmp_path: Path) -> None:
    git(repo.top, "worktree", "add", "--quiet", "--detach", str(tmp_path / "mine"))
    (tmp_path / "mine").rename(tmp_path / "away")  # as on a disk that is not there now
    hook = repo.top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    with checkout(repo, repo.commit("HEAD"), tmp_path / "state"):
        pass
    assert not (tmp_path / "hooked").exists()
    assert len(left(repo, tmp_path / "state")) == 1


def test_only_code_spec_and_clusters_are_the_commits(
    top: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATH_HOME")
    spec = top / "specs" / "a.yaml"
    working = Project.find(spec)
    with checkout(repo, repo.commit("first"), working.state) as tree:
        found = tree.project(spec, working)
        assert (found.root, found.state, found.file) == (top, top / ".swath", top / "swath.yaml")
        assert found.pipelines == (tree.folder / "pipelines",)
        assert list(found.clusters) == ["one"]
        assert tree.origins(found.pipelines) == {tree.folder / "pipelines": top / "pipelines"}


@pytest.mark.parametrize(
    ("swath_yaml", "root", "pipelines"),
    [
        (None, "specs", []),
        ("", ".", ["pipelines"]),
        ("pipelines: [code/here]", ".", ["code/here"]),
        ("pipelines: []", ".", []),
    ],
)
def test_the_projects_folder_and_pipelines_are_where_the_commit_had_them(
    tmp_path: Path, swath_yaml: str | None, root: str, pipelines: list[str]
) -> None:
    files: dict[str, str | bytes] = {"specs/a.yaml": "x", "pipelines/a.py": "", "code/here/b.py": ""}
    top = repository(tmp_path / "project", files if swath_yaml is None else files | {"swath.yaml": swath_yaml})
    git(top, "tag", "then")
    git(top, "rm", "-r", "--quiet", ".")
    commit(top, {"swath.yaml": "state: here\n"})
    repo = Repository.around(top)
    assert repo is not None
    with checkout(repo, repo.commit("then"), tmp_path / "state") as tree:
        found = tree.project(top / "specs" / "a.yaml", Project.find(top))
        assert found.root == top / root
        assert found.pipelines == tuple(tree.folder / folder for folder in pipelines)


def test_a_swath_yaml_above_the_repository_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"swath.yaml": "pipelines: [project/code]\n"})
    top = repository(tmp_path / "project", {"code/a.py": "", "specs/a.yaml": ""})
    repo = Repository.around(top)
    assert repo is not None
    with checkout(repo, repo.commit("HEAD"), tmp_path / "state") as tree:
        found = tree.project(top / "specs" / "a.yaml", Project.find(top))
        assert (found.root, found.pipelines) == (tmp_path, (tree.folder / "code",))


def test_a_mistake_in_the_commits_swath_yaml_names_the_commit(tmp_path: Path) -> None:
    top = repository(tmp_path / "project", {"swath.yaml": "stat: x\npipelines: [nowhere]\n", "a.yaml": ""})
    repo = Repository.around(top)
    assert repo is not None
    write(top, {"swath.yaml": ""})
    working = Project.find(top)
    with checkout(repo, repo.commit("HEAD"), tmp_path / "state") as tree, pytest.raises(SpecError) as caught:
        tree.project(top / "a.yaml", working)
    name = f"{repo.head()[:12]}:swath.yaml"
    assert [(each.file, each.line) for each in caught.value.mistakes] == [(name, 1), (name, 2)]


@pytest.mark.parametrize("revision", ["", "nope", "--all", "-1", "HEAD:specs/a.yaml", "0" * 40])
def test_a_revision_that_names_no_commit_is_a_usage_error(repo: Repository, revision: str) -> None:
    with pytest.raises(UsageError, match="there is no commit"):
        repo.commit(revision)


def test_a_commit_is_named_by_tag_branch_start_of_its_hash_or_message(repo: Repository) -> None:
    head = repo.head()
    git(repo.top, "tag", "--annotate", "--message", "words", "second")
    assert {repo.commit(name) for name in ("HEAD", "main", "second", head[:7], ":/some")} == {head}
    assert repo.commit("first") == repo.commit("HEAD~1") != head


def test_a_spec_that_the_commit_has_not_says_what_to_do(repo: Repository, tmp_path: Path) -> None:
    tree = Worktree(repo, "0" * 40, tmp_path)
    with pytest.raises(UsageError, match=r"specs/other\.yaml is not in commit") as caught:
        tree.spec(repo.top / "specs" / "other.yaml")
    assert "git log" in caught.value.remedy


def test_imports_come_from_the_worktree_only_inside(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(top, {"lib/swath_test_local.py": "when = 'then'\n"})
    repo = Repository.around(top)
    assert repo is not None
    write(top, {"lib/swath_test_local.py": "when = 'now'\n"})
    monkeypatch.syspath_prepend(str(top / "lib"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    with checkout(repo, repo.head(), tmp_path / "state") as tree, tree.imported():
        import swath_test_local

        assert swath_test_local.when == "then"
        del sys.modules["swath_test_local"]
    assert sys.path == before
    assert str(ROOT) in [str(Path(entry).resolve()) for entry in before]


def test_a_state_folder_that_cannot_be_written_is_a_state_error(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    began = time.monotonic()
    with pytest.raises(StateError, match="cannot be written"), checkout(repo, repo.head(), tmp_path / "state"):
        pass
    assert time.monotonic() - began < 5
