from __future__ import annotations

from pathlib import Path

import pytest

from swath.project.git import Repository, RepositoryRefused
from swath.project.git_settings import unsafe_setting
from swath.project.uncommitted import read_changes
from tests.repositories import commit, git, repository

PLAIN = (
    "core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates", "remote.origin.url", "remote.origin.fetch",
    "branch.main.remote", "branch.a/b.merge", "user.email", "submodule.x.url", "includeif.gitdir:/a/.path",
    "http.https://example.org/.extraheader",
)  # fmt: skip
PROGRAMS = (
    "filter.x.clean", "filter.x.process", "diff.x.textconv", "diff.external", "core.fsmonitor", "core.sshcommand", "core.hookspath",
    "core.gitproxy", "core.worktree", "remote.origin.uploadpack", "remote.origin.promisor", "extensions.partialclone", "gpg.program",
    "credential.helper", "alias.status", "submodule.x.update", "merge.x.driver", "core.repositoryformatversion\ncore.pager",
)  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that leaves a mark."""
    file = tmp_path / "program"
    file.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\ncat\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def ran(program: Path) -> Path:
    return program.with_name("ran")


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that nobody trusts."""
    monkeypatch.delenv("SWATH_TRUST")
    return repository(tmp_path / "stranger", {"spec.yaml": "a\n", ".gitattributes": "* filter=x\n"})


def _listed(*settings: tuple[str, str]) -> str:
    return "".join(f"{scope}\0{name}\0" for scope, name in settings)


def test_settings_that_execute_nothing_are_known() -> None:
    assert unsafe_setting(_listed(*(("local", name) for name in PLAIN))) == ""
    assert unsafe_setting("") == ""


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_setting_that_could_execute_a_program_is_named(name: str) -> None:
    for scope in ("local", "worktree", "unknown"):
        assert unsafe_setting(_listed(("local", "core.bare"), (scope, name))) == name
    for scope in ("global", "system", "command"):  # the user's own
        assert unsafe_setting(_listed((scope, name))) == ""


def test_a_filter_of_an_untrusted_repository_is_not_executed(
    stranger: Path, program: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(stranger, "config", "filter.x.clean", str(program))
    (stranger / "spec.yaml").write_text("b\n")
    with pytest.raises(RepositoryRefused, match=rf"'filter.x.clean'.*\(pipe trust {stranger}\)"):
        Repository.find(stranger)
    assert Repository.around(stranger) is None
    assert not ran.exists()
    monkeypatch.setenv("SWATH_TRUST", str(stranger))
    found = Repository.find(stranger)
    assert found is not None
    assert found.described().endswith("-dirty")
    assert ran.exists()


def test_a_setting_that_another_file_brings_counts(stranger: Path) -> None:
    (stranger / "other").write_text("[core]\n\tsshCommand = true\n")
    git(stranger, "config", "include.path", "../other")
    with pytest.raises(RepositoryRefused, match=r"'core\.sshcommand'"):
        Repository.find(stranger)


def test_a_repository_without_such_settings_needs_no_trust(stranger: Path) -> None:
    git(stranger, "remote", "add", "origin", "https://example.org/x.git")
    found = Repository.find(stranger / "spec.yaml")
    assert found is not None
    assert found.head()


def test_a_filter_of_a_submodule_is_not_executed(stranger: Path, program: Path, ran: Path, tmp_path: Path) -> None:
    inner = repository(stranger / "inner", {"data": "1\n", ".gitattributes": "* filter=x\n"})
    commit(stranger)  # with the inner repository as a submodule
    git(inner, "config", "filter.x.clean", str(program))
    (inner / "data").write_text("2\n")
    found = Repository.find(stranger)
    assert found is not None
    head = found.head()
    assert found.described() == head
    assert not read_changes(found, head, [], None, str)
    assert not ran.exists()


def test_a_folder_that_is_a_repository_of_its_own_is_none(stranger: Path, program: Path) -> None:
    """A clone can bring a folder with all that a bare repository has, settings included."""
    bare = stranger / "specs"
    git(stranger, "clone", "--quiet", "--bare", ".", str(bare))
    git(bare, "config", "core.bare", "false")
    git(bare, "config", "core.worktree", str(bare))
    git(bare, "config", "filter.x.clean", str(program))
    with pytest.raises(RepositoryRefused, match="bare"):
        Repository.find(bare)
