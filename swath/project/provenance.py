"""Where a run comes from: the commit of the project, what differed from it, the versions of what it used, and the line that
does it again."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.project.git import Repository
from swath.project.uncommitted import FILE, Changes, changes


@dataclass(frozen=True)
class CodeSource:
    """What spec and pipelines of a run were taken from."""

    git: dict[str, Any] = field(default_factory=dict)
    """Empty outside of a repository, and before its first commit. Else `commit`, `branch` (empty when none was checked
    out), `dirty`: something differed from the commit, `spec`: the spec's path from the project's folder on, `changes`: how
    much of what differed was kept (see swath.project.uncommitted.Changes.state), and, of a run of another commit, `ref`."""
    diff: str = ""
    """What differed from the commit."""

    @classmethod
    def of_files(
        cls, spec: tuple[Path, str], root: Path, used: Sequence[Path], scrub: Callable[[str], str] = str
    ) -> CodeSource:
        """The files as they are now. spec: path and text; root: the project's folder; used: what else the run is made from."""
        file = Path(os.path.normpath(root / spec[0]))
        repository = Repository.around(file.parent)
        commit = repository.head() if repository else ""
        if repository is None or not commit:
            return cls()
        found = changes(repository, commit, [file, *used], (file, spec[1]), scrub)
        return cls(_git(commit, repository.branch(), found, file, root), found.diff)

    @classmethod
    def of_commit(cls, commit: str, ref: str, found: Changes, file: Path, root: Path) -> CodeSource:
        """A commit with changes, which were mostly none. ref: as the user named it; file: the spec; root: the project's folder."""
        return cls(_git(commit, "", found, file, root) | {"ref": ref}, found.diff)

    def write(self, folder: Path) -> None:
        """Keep the diff in a run's folder; when there is none, one that was there goes."""
        file = folder / FILE
        if not self.diff:
            file.unlink(missing_ok=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{FILE}.partial")
        temporary.write_bytes(self.diff.encode("utf-8", "surrogateescape"))
        temporary.replace(file)


def _git(commit: str, branch: str, found: Changes, file: Path, root: Path) -> dict[str, Any]:
    spec = Path(os.path.relpath(file, root)).as_posix()
    return {"commit": commit, "branch": branch, "dirty": bool(found), "spec": spec, "changes": found.state}


@dataclass(frozen=True)
class Reproduction:
    """How to do a run again."""

    line: str
    """A shell's line."""
    caveat: str = ""
    """Why it may not give the same; empty when it takes the spec and the pipelines that the run had."""


def reproduction(
    spec: str, overrides: Sequence[str], git: Mapping[str, Any], root: Path, folder: Path, start: Path
) -> Reproduction:
    """The line that does a run again.

    spec: its path as the user wrote it; git: of its Source; root: its project's folder; folder: the run's in the state
    folder; start: the folder in which the line will be given.
    """
    words = ["pipe", "run"]
    caveat = ""
    commit, state = str(git.get("commit", "")), git.get("changes", "")
    if not commit:
        caveat = "the run was not under version control: this takes the files as they are now"
    elif git.get("dirty") and state != "whole":
        why = {"cut": "are too large to be kept whole", "scrubbed": "had secrets in them"}.get(state, "were not kept")
        caveat = f"the changes to commit {commit[:12]} {why}: this takes the files as they are now"
    else:
        words += ["--ref", commit[:12]]
    if not caveat and git.get("dirty"):
        words += ["--patch", _told(folder / FILE, start)]
    words.append(_told(root / git["spec"], start) if "spec" in git else spec)
    for place, override in enumerate(overrides):
        first = re.fullmatch(r"cluster=([A-Za-z][A-Za-z0-9_.:/@-]*)", override) if place == 0 else None
        words += ["--cluster", first[1]] if first else ["--set", override]  # --cluster is kept before all others
    return Reproduction(shlex.join(words), caveat)


def _told(path: Path, start: Path) -> str:
    """A path as it is written in a folder: from there on when it is below."""
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
