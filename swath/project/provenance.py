"""Provenance of a run: the commit of its project, uncommitted changes, and the command line that repeats it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.project.git import Repository, RepositoryRefused
from swath.project.uncommitted import DIFF_FILE, DiffLimits, UncommittedChanges, read_changes
from swath.spec.locations import is_stream


@dataclass(frozen=True)
class CodeSource:
    """The commit and the uncommitted changes that the spec and the pipelines of a run were read from."""

    git: dict[str, Any] = field(default_factory=dict)
    """Empty outside of a repository and before its first commit; only `refused` (the reason) where git does not read the repository.
    Else `commit`, `branch` (empty when HEAD was detached), `dirty` (there were uncommitted changes), `spec` (path relative to the
    project's folder; not of a spec that was no file), `changes` (how much of them was stored, see
    swath.project.uncommitted.UncommittedChanges.state), and `ref` of a run with `--ref`."""
    diff: str = ""
    """The uncommitted changes."""

    @classmethod
    def of_files(
        cls,
        spec: tuple[Path, str] | None,
        root: Path,
        used: Sequence[Path],
        scrub: Callable[[str], str] = str,
        limits: DiffLimits = DiffLimits(),
    ) -> CodeSource:
        """The files as they are now.

        spec: path and text; None for one that is no file. root: the project's folder. used: further files and folders that
        the run uses. scrub: replaces secrets in a text.
        """
        file = Path(os.path.normpath(root / spec[0])) if spec is not None else None
        try:
            repository = Repository.find(file.parent if file is not None else root)
        except RepositoryRefused as error:
            return cls({"refused": str(error)})
        commit = repository.head() if repository else ""
        if repository is None or not commit:
            return cls()
        if spec is None or file is None:
            found = read_changes(repository, commit, used, None, scrub, limits)
        else:
            found = read_changes(repository, commit, [file, *used], (file, spec[1]), scrub, limits)
        return cls(_git(commit, repository.branch(), found, file, root), found.diff)

    @classmethod
    def of_commit(cls, commit: str, ref: str, found: UncommittedChanges, file: Path, root: Path) -> CodeSource:
        """A commit, with changes if a patch was given. ref: as the user wrote it; file: the spec; root: the project's folder."""
        return cls(_git(commit, "", found, file, root) | {"ref": ref}, found.diff)

    def write(self, folder: Path) -> None:
        """Write the diff to a run's folder; without one, remove an earlier one."""
        file = folder / DIFF_FILE
        if not self.diff:
            file.unlink(missing_ok=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{DIFF_FILE}.partial")
        temporary.write_bytes(self.diff.encode("utf-8", "surrogateescape"))
        temporary.replace(file)


def _git(commit: str, branch: str, found: UncommittedChanges, file: Path | None, root: Path) -> dict[str, Any]:
    about = {"commit": commit, "branch": branch, "dirty": bool(found), "changes": found.state}
    return about if file is None else about | {"spec": Path(os.path.relpath(file, root)).as_posix()}


@dataclass(frozen=True)
class Reproduction:
    """How to repeat a run."""

    line: str
    """A shell command."""
    caveat: str = ""
    """Why the result may differ; empty when spec and pipelines are exactly those of the run."""


def reproduction(
    spec: str,
    overrides: Sequence[str],
    git: Mapping[str, Any],
    root: Path,
    folder: Path,
    start: Path,
    *,
    fresh: bool = False,
) -> Reproduction:
    """The command line that repeats a run.

    spec: its path as the user wrote it. git: of its CodeSource. root: its project's folder. folder: the run's, in the
    state folder. start: the folder in which the line will be executed. fresh: whether it reused no result of an earlier run.
    """
    words = ["pipe", "run"]
    caveat = ""
    commit, state = str(git.get("commit", "")), git.get("changes", "")
    if is_stream(spec):
        caveat = "the spec was read from standard input: `pipe runs show RUN --json` has its text (spec_text)"
    elif git.get("refused"):
        caveat = "git did not read the repository: this uses the files as they are now"
    elif not commit:
        caveat = "the run was not under version control: this uses the files as they are now"
    elif git.get("dirty") and state != "whole":
        why = {"cut": "are too large to be stored", "scrubbed": "contained secrets"}.get(state, "were not stored")
        caveat = f"the changes to commit {commit[:12]} {why}: this uses the files as they are now"
    else:
        words += ["--ref", commit[:12]]
    if not caveat and git.get("dirty"):
        words += ["--patch", _relative(folder / DIFF_FILE, start)]
    words += ["--fresh"] if fresh else []
    words.append(_relative(root / git["spec"], start) if "spec" in git else spec)
    for place, override in enumerate(overrides):
        first = re.fullmatch(r"cluster=([A-Za-z][A-Za-z0-9_.:/@-]*)", override) if place == 0 else None
        words += ["--cluster", first[1]] if first else ["--set", override]  # --cluster comes before all others
    return Reproduction(shlex.join(words), caveat)


def _relative(path: Path, start: Path) -> str:
    """A path relative to a folder when it is below."""
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
