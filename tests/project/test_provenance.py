from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from swath.project.provenance import CodeSource, Reproduction, reproduction
from swath.project.uncommitted import DIFF_FILE
from tests.repositories import git, repository, write

FILES: dict[str, str | bytes] = {"specs/a.yaml": "pipeline: a\n", "swath.yaml": "", "pipelines/a.py": "one = 1\n"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return repository(tmp_path / "project", FILES)


def source(project: Path) -> CodeSource:
    spec = project / "specs" / "a.yaml"
    return CodeSource.of_files((spec, spec.read_text()), project, [project / "pipelines", project / "swath.yaml"])


def test_a_clean_repository_gives_its_commit_and_branch_and_no_diff(project: Path) -> None:
    found = source(project)
    commit = git(project, "rev-parse", "HEAD").strip()
    assert found.git == {"commit": commit, "branch": "main", "dirty": False, "spec": "specs/a.yaml", "changes": ""}
    assert found.diff == ""
    git(project, "checkout", "--quiet", "--detach")
    assert source(project).git["branch"] == ""


def test_without_a_repository_a_commit_or_git_the_source_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"plain/specs/a.yaml": "", "new/specs/a.yaml": ""})
    git(tmp_path / "new", "init", "--quiet")
    assert source(tmp_path / "plain") == source(tmp_path / "new") == CodeSource()
    repository(tmp_path / "full", FILES)
    monkeypatch.setenv("PATH", "")
    assert source(tmp_path / "full") == CodeSource()


def test_a_diff_of_an_earlier_session_goes_when_there_is_none(project: Path, tmp_path: Path) -> None:
    CodeSource({}, "something").write(tmp_path)
    assert (tmp_path / DIFF_FILE).read_text() == "something"
    CodeSource().write(tmp_path)
    assert not (tmp_path / DIFF_FILE).exists()


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
        ({"commit": COMMIT, "dirty": True}, "pipe run a.yaml", "not stored"),
    ],
)
def test_the_line_that_repeats_a_run_takes_the_commit_and_says_when_it_cannot(
    tmp_path: Path, git_of_run: dict[str, object], line: str, caveat: str
) -> None:
    found = reproduction("a.yaml", (), git_of_run, tmp_path, tmp_path / ".swath" / "runs" / "R", tmp_path)
    assert found.line == line
    assert caveat in found.caveat
    assert bool(caveat) == bool(found.caveat)


def test_the_line_that_repeats_a_run_is_quoted_for_a_shell_and_names_paths_from_elsewhere_in_full(
    tmp_path: Path,
) -> None:
    overrides = ("cluster=two", "words=[a, 'b c']", "cluster.workers=3")
    git_of_run = {"commit": COMMIT, "dirty": False, "spec": "my specs/a.yaml"}
    found = reproduction("a.yaml", overrides, git_of_run, tmp_path, tmp_path, tmp_path / "elsewhere")
    words = ["--cluster", "two", "--set", "words=[a, 'b c']", "--set", "cluster.workers=3"]
    path = str(tmp_path / "my specs" / "a.yaml")
    assert shlex.split(found.line) == ["pipe", "run", "--ref", COMMIT[:12], path, *words]
    assert found == Reproduction(found.line)


def test_files_outside_of_a_repository_have_no_commit(tmp_path: Path) -> None:
    assert CodeSource.of_files((tmp_path / "spec.yaml", ""), tmp_path, []) == CodeSource()


def test_the_line_that_repeats_a_fresh_run_is_fresh_and_that_of_standard_input_says_so(tmp_path: Path) -> None:
    assert reproduction("a.yaml", (), {}, tmp_path, tmp_path, tmp_path, fresh=True).line == "pipe run --fresh a.yaml"
    found = reproduction("-", (), {"commit": COMMIT, "dirty": False}, tmp_path, tmp_path, tmp_path)
    assert found.line == "pipe run -"
    assert found.caveat.startswith("the spec was read from standard input")
