"""Uncommitted changes of a run: the diff of tracked files, and untracked files among its spec and pipelines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.project.git import GitFailed, Repository, git

DIFF_FILE = "changes.diff"
"""Name of the diff in a run's folder of the state folder."""
_DIFF = (
    "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--unified=3", "--no-renames",
    "--submodule=short", "--no-relative",
)  # fmt: skip


@dataclass(frozen=True)
class DiffLimits:
    """Sizes in bytes."""

    file: int = 1 << 20
    """Of a changed file; a larger one is named only."""
    total: int = 8 << 20
    """Of the whole diff; the rest is cut off."""


@dataclass(frozen=True)
class UncommittedChanges:
    """Difference to a commit."""

    diff: str = ""
    """Output of `git diff` below one or two comment lines (`#`); `git apply` reads it. Empty when nothing differs."""
    state: str = ""
    """Empty, `whole`, `cut` (something was too large) or `scrubbed` (secrets were replaced: it may not apply)."""

    def __bool__(self) -> bool:
        return bool(self.diff)


def read_changes(
    repository: Repository,
    commit: str,
    used: Sequence[Path],
    spec: tuple[Path, str] | None,
    scrub: Callable[[str], str],
    limits: DiffLimits = DiffLimits(),
) -> UncommittedChanges:
    """What a run uses that is not in the checked-out commit. Never raises: a git error is a comment in the diff.

    used: files and folders whose untracked files count too. spec: its path, and the text that the run uses, which
    differs from the file when a run is resumed after an edit; None for one that is no file. scrub: replaces secrets in a text.
    """
    try:
        return _read_changes(repository, commit, used, spec, scrub, limits)
    except (GitFailed, OSError) as error:
        return UncommittedChanges(f"# The changes to commit {commit} could not be read: {scrub(str(error))}\n", "cut")


def _read_changes(
    repository: Repository,
    commit: str,
    used: Sequence[Path],
    spec: tuple[Path, str] | None,
    scrub: Callable[[str], str],
    limits: DiffLimits,
) -> UncommittedChanges:
    top = repository.top
    tracked = _names(repository.git(*_DIFF, *repository.submodules, "--name-only", "-z", commit, "--"))
    untracked = _untracked(repository, used)
    edited = repository.inside(spec[0]) if spec is not None else None
    text = spec[1] if spec is not None else ""
    if edited is None or _read(top / edited) == text:
        edited = None
    large = [name for name in (*tracked, *untracked) if name != edited and _size(top / name) > limits.file]
    left_out = {*large, edited}
    excluded = [name for name in tracked if name in left_out]
    diff = _diff_tracked(repository, commit, excluded, limits.total) if tracked else ""
    if edited is not None or any(name not in left_out for name in untracked):
        diff += _diff_untracked(repository, commit, [name for name in untracked if name not in left_out], edited, text)
    return _with_header(commit, diff, large, scrub, limits)


def _diff_untracked(
    repository: Repository, commit: str, untracked: Sequence[str], edited: str | None, text: str
) -> str:
    """The diff of untracked files, and of the spec at `edited` to the text that the run uses."""
    with tempfile.TemporaryDirectory(prefix="swath-changes-") as folder:
        before, after = Path(folder, "a"), Path(folder, "b")
        before.mkdir()
        after.mkdir()
        for name in untracked:
            (after / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository.top / name, after / name, follow_symlinks=False)
        if edited is not None:
            committed = repository.text(commit, edited)
            if committed is not None:
                _write(before / edited, committed)
            _write(after / edited, text)
        return git(Path(folder), *_DIFF, "--no-index", "--no-prefix", "a", "b", codes=(0, 1))


def _with_header(
    commit: str, diff: str, large: Sequence[str], scrub: Callable[[str], str], limits: DiffLimits
) -> UncommittedChanges:
    """The diff, shortened if needed, below comment lines that say what is missing."""
    if not diff and not large:
        return UncommittedChanges()
    head, state = [f"# Uncommitted changes to {commit}. `git apply` reads this file."], "whole"
    clean = scrub(diff)
    if clean != diff:
        head.append("# Secrets were replaced, so that it may not apply.")
        state = "scrubbed"
    if len(clean) > limits.total:
        end = clean.rfind("\ndiff --git ", 0, limits.total) + 1
        clean = clean[:end]
        head.append(f"# Cut: the whole is larger than {limits.total >> 20} MiB.")
        state = "cut"
    for name in large:
        head.append(f"# Left out, larger than {limits.file >> 20} MiB: {scrub(name)!r}")
        state = "cut"
    return UncommittedChanges("\n".join([*head, clean]), state)


def _diff_tracked(repository: Repository, commit: str, left_out: Sequence[str], most: int) -> str:
    """The first `most` + 1 bytes of the diff of tracked files."""
    but = [f":(top,exclude,literal){name}" for name in left_out]
    with tempfile.TemporaryDirectory(prefix="swath-changes-") as folder:
        file = Path(folder, DIFF_FILE)
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        repository.git(*_DIFF, *repository.submodules, *prefixes, f"--output={file}", commit, "--", ":(top)", *but)
        with file.open("rb") as stream:
            return stream.read(most + 1).decode("utf-8", "surrogateescape")


def _untracked(repository: Repository, used: Sequence[Path]) -> list[str]:
    """Untracked files, including ignored ones, without __pycache__."""
    inside = [place for path in used if (place := repository.inside(path)) is not None]
    if not inside:
        return []
    # Where the pipelines' folder is the whole repository, only its Python files count.
    places = [":(top,glob)*.py" if place == "." else f":(top,literal){place}" for place in inside]
    found = _names(repository.git("ls-files", "--others", "-z", "--", *places))
    return [name for name in found if "__pycache__" not in name.split("/") and not name.endswith("/")]


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0
