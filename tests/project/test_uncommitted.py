from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swath.project.provenance import CodeSource
from swath.project.uncommitted import DIFF_FILE, DiffLimits, UncommittedChanges
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


def source(
    project: Path,
    text: str | None = None,
    scrub: Callable[[str], str] = str,
    limits: DiffLimits = DiffLimits(),
) -> CodeSource:
    spec = project / "specs" / "a.yaml"
    used = [project / "pipelines", project / "swath.yaml"]
    text = spec.read_bytes().decode() if text is None else text
    return CodeSource.of_files((spec, text), project, used, scrub, limits)


@pytest.mark.parametrize("settings", [{}, HOSTILE])
def test_the_changes_applied_to_the_commit_give_the_files_that_the_run_used(
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
    git(tmp_path / "copy", "apply", "--whitespace=nowarn", str(tmp_path / "run" / DIFF_FILE))
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


def test_the_spec_in_the_diff_is_that_of_the_run_also_when_the_file_was_edited(project: Path, tmp_path: Path) -> None:
    write(project, {"specs/a.yaml": "pipeline: written later\n"})
    assert source(project, "pipeline: a\n").git["dirty"] is False
    found = source(project, "pipeline: taken up\n")
    found.write(tmp_path)
    git(project, "checkout", "--quiet", "specs/a.yaml")
    git(project, "apply", str(tmp_path / DIFF_FILE))
    assert (project / "specs" / "a.yaml").read_text() == "pipeline: taken up\n"


def test_secrets_are_in_no_diff(project: Path) -> None:
    write(project, {"pipelines/a.py": "one = 'canary-4711'\ntwo = 2\n", "pipelines/b.py": "token = 'canary-4711'\n"})
    found = source(project, scrub=lambda text: text.replace("canary-4711", "${env:TOKEN}"))
    assert "canary-4711" not in found.diff
    assert "+token = '${env:TOKEN}'" in found.diff
    assert found.git["changes"] == "scrubbed"


def test_large_files_are_named_only(project: Path) -> None:
    write(project, {"data/picture.bin": b"x" * 1001, "pipelines/large.py": "#" * 1001, "pipelines/a.py": "small = 1\n"})
    found = source(project, limits=DiffLimits(file=1000))
    assert found.git["changes"] == "cut"
    assert "'data/picture.bin'" in found.diff
    assert "'pipelines/large.py'" in found.diff
    assert "+small = 1" in found.diff
    assert "##" not in found.diff


def test_a_diff_that_is_too_large_ends_after_a_whole_file(project: Path, tmp_path: Path) -> None:
    write(project, {"pipelines/a.py": "first = 1\n", "pipelines/z.py": "last = 1\n" * 900})
    found = source(project, limits=DiffLimits(total=2000))
    assert found.git["changes"] == "cut"
    assert "# Cut" in found.diff
    assert "last = 1" not in found.diff
    found.write(tmp_path)
    git(project, "checkout", "--quiet", ".")
    git(project, "apply", str(tmp_path / DIFF_FILE))
    assert (project / "pipelines" / "a.py").read_text() == "first = 1\n"


def test_changes_are_true_when_there_are_any() -> None:
    assert not UncommittedChanges()
    assert UncommittedChanges("# left out\n", "cut")
