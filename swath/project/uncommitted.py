"""What a run used that is in no commit: the diff of tracked files, and the untracked ones among its spec and pipelines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.project.git import GitFailed, Repository, git

FILE = "changes.diff"
"""Name of the diff in a run's folder of the state folder."""
LARGEST_FILE = 1 << 20
"""Bytes of a changed file above which it is named, not shown."""
LARGEST = 8 << 20
"""Bytes of the whole diff."""
_DIFF = (
    "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--unified=3", "--no-renames",
    "--submodule=short", "--no-relative",
)  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """What differs from a commit."""

    diff: str = ""
    """As git writes it, under a line or two of `#`; `git apply` reads it. Empty when nothing differs."""
    state: str = ""
    """Empty, `whole`, `cut`: something was too large, or `scrubbed`: it had secrets in it and may not apply."""

    def __bool__(self) -> bool:
        return bool(self.diff)


def changes(
    repository: Repository, commit: str, used: Sequence[Path], spec: tuple[Path, str], scrub: Callable[[str], str]
) -> Changes:
    """What a run uses that is not in the commit that is checked out.

    used: files and folders whose untracked files count too. spec: its path, and the text that the run has of it, which
    is not that of the file when a run is resumed after an edit. scrub: takes secrets out of a text.
    """
    try:
        return _changes(repository, commit, used, spec, scrub)
    except (GitFailed, OSError) as error:
        return Changes(f"# The changes to commit {commit} could not be read: {scrub(str(error))}\n", "cut")


def _changes(
    repository: Repository, commit: str, used: Sequence[Path], spec: tuple[Path, str], scrub: Callable[[str], str]
) -> Changes:
    top = repository.top
    tracked = _names(repository.git(*_DIFF, "--name-only", "-z", commit, "--"))
    untracked = _untracked(repository, used)
    edited = repository.inside(spec[0])
    if edited is None or _read(top / edited) == spec[1]:
        edited = None
    large = [name for name in (*tracked, *untracked) if name != edited and _size(top / name) > LARGEST_FILE]
    left_out = {*large, edited}
    diff = _of_tracked(repository, commit, [name for name in tracked if name in left_out]) if tracked else ""
    if edited is not None or any(name not in left_out for name in untracked):
        diff += _of_others(repository, commit, [name for name in untracked if name not in left_out], edited, spec[1])
    return _told(commit, diff, large, scrub)


def _of_others(repository: Repository, commit: str, untracked: Sequence[str], edited: str | None, text: str) -> str:
    """The diff of untracked files, and of the spec at `edited` to a text that is in no file."""
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


def _told(commit: str, diff: str, large: Sequence[str], scrub: Callable[[str], str]) -> Changes:
    """The diff under a head that says what is not in it."""
    if not diff and not large:
        return Changes()
    head, state = [f"# What a run used that is not in commit {commit}. `git apply` reads this file."], "whole"
    clean = scrub(diff)
    if clean != diff:
        head.append("# It had secrets in it; what stands for them may keep it from being applied.")
        state = "scrubbed"
    if len(clean) > LARGEST:
        end = clean.rfind("\ndiff --git ", 0, LARGEST) + 1
        clean = clean[:end]
        head.append(f"# Cut: the whole is larger than {LARGEST >> 20} MiB.")
        state = "cut"
    for name in large:
        head.append(f"# Left out, larger than {LARGEST_FILE >> 20} MiB: {scrub(name)!r}")
        state = "cut"
    return Changes("\n".join([*head, clean]), state)


def _of_tracked(repository: Repository, commit: str, left_out: Sequence[str]) -> str:
    """The diff of the files that git knows, no more of it than is kept."""
    but = [f":(top,exclude,literal){name}" for name in left_out]
    with tempfile.TemporaryDirectory(prefix="swath-changes-") as folder:
        file = Path(folder, FILE)
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        repository.git(*_DIFF, *prefixes, f"--output={file}", commit, "--", ":(top)", *but)
        with file.open("rb") as stream:
            return stream.read(LARGEST + 1).decode("utf-8", "surrogateescape")


def _untracked(repository: Repository, used: Sequence[Path]) -> list[str]:
    """The files that git does not know, ignored ones too, without what Python leaves."""
    inside = [place for path in used if (place := repository.inside(path)) is not None]
    if not inside:
        return []
    # A folder of pipelines that is the whole repository has more in it than pipelines.
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
