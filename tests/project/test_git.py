from __future__ import annotations

import os
from pathlib import Path

import pytest

from swath.errors import UsageError
from swath.project.git import GitFailed, Repository, RepositoryRefused
from tests.repositories import commit, git, repository, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return repository(tmp_path / "project", {"specs/a.yaml": "a\n"})


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


def test_a_revision_is_a_hash_a_branch_or_a_tag_and_never_an_option(project: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    git(project, "tag", "one")
    commit(project)
    found = Repository(project)
    assert [found.commit(each) for each in (first[:8], "one", "HEAD~1")] == [first] * 3
    for revision in ("", "nowhere", "--all"):
        with pytest.raises(UsageError, match="there is no commit"):
            found.commit(revision)
    assert found.count_apart("one", "HEAD") == (0, 1)
    assert found.count_apart("0" * 40, "HEAD") is None
    assert found.text(first, "specs/a.yaml") == "a\n"
    assert found.text(first, "specs/b.yaml") is None


def test_the_described_commit_is_dirty_when_a_tracked_file_was_changed(project: Path) -> None:
    found = Repository(project)
    head = found.head()
    write(project, {"new.txt": ""})
    assert found.described() == head
    write(project, {"specs/a.yaml": "b\n"})
    assert found.described() == f"{head}-dirty"


def test_a_path_inside_is_relative_to_the_top(project: Path, tmp_path: Path) -> None:
    found = Repository.around(project / "specs")
    assert found is not None
    assert found.inside(project / "specs" / "a.yaml") == "specs/a.yaml"
    assert found.inside(tmp_path / "b.yaml") is None


def test_a_failed_command_has_the_message_of_git(project: Path) -> None:
    with pytest.raises(GitFailed, match=r"(?i)not a valid object name nowhere"):
        Repository(project).git("cat-file", "-t", "nowhere")


def test_a_repository_that_git_does_not_read_is_refused_with_its_reason(project: Path) -> None:
    (project / ".git" / "config").write_text("[broken\n")
    with pytest.raises(RepositoryRefused, match=r"^bad config line 1 in file "):
        Repository.find(project / "specs")
    assert Repository.around(project) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_refused_with_the_command_that_git_recommends(project: Path) -> None:
    for place in (project, *project.rglob("*")):
        os.chown(place, 12345, 12345)
    with pytest.raises(RepositoryRefused) as refused:
        Repository.find(project / "specs")
    assert str(refused.value) == (
        f"detected dubious ownership in repository at '{project}' (git config --global --add safe.directory {project})"
    )
