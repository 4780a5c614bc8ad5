"""An unfinished output folder of a run that has ended, and the check that a lease names one and no other path.

The journal may be somebody else's, or damaged: its leases name any path. Only a staging folder of the lease's own run is removed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow
from swath.errors import TeardownError
from swath.storage.publication import is_staging_name

PARTIAL = "partial"
"""Kind of lease of an unfinished output folder."""


@dataclass(frozen=True)
class PartialOutput:
    """An unfinished output folder."""

    lease: LeaseRow
    status: str
    size: int
    other_runs: frozenset[str] = frozenset()
    """Ids of the journal's other runs."""

    @property
    def kind(self) -> str:
        return self.lease.kind

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def run(self) -> str:
        return self.lease.run

    @property
    def leased_at(self) -> float | None:
        return self.lease.created

    @property
    def lines(self) -> list[str]:
        return [printable(self.lease.id)]

    def remove(self, journal: Journal) -> None:
        reason = why_not_removed(self.id, self.run, self.other_runs)  # it may have changed since it was listed
        if reason:
            raise refused(self.lease, reason)
        try:
            shutil.rmtree(self.id)
        except OSError as error:
            raise TeardownError(
                f"{self.id} cannot be removed: {error}", remedy="remove it by hand, then run `pipe sweep`"
            ) from error
        journal.end_lease(self.id)


@dataclass(frozen=True)
class RefusedLease:
    """A lease of something that does not belong to its run: it is listed and never removed."""

    lease: LeaseRow
    status: str
    reason: str
    size: int = 0

    @property
    def kind(self) -> str:
        return printable(self.lease.kind)

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def run(self) -> str:
        return printable(self.lease.run)

    @property
    def leased_at(self) -> float | None:
        return self.lease.created

    @property
    def lines(self) -> list[str]:
        return [f"{printable(self.lease.id)} ({self.reason})"]

    def remove(self, journal: Journal) -> None:
        """Raises TeardownError, always."""
        raise refused(self.lease, self.reason)


def refused(lease: LeaseRow, reason: str) -> TeardownError:
    """The error for a lease of what is not its run's."""
    return TeardownError(
        f"not removed: {printable(lease.id)} is {reason}",
        remedy="the journal of this state folder was damaged, or written by somebody else: look at the path yourself",
    )


def why_not_removed(text: str, run: str, other_runs: Collection[str]) -> str:
    """What keeps a path from being removed as a staging folder of a run; empty when nothing does.

    It has to be an absolute path without `..`, have the name of a staging folder of this run and of no other, and be a real
    folder of this user, not a symbolic link, with no other file system mounted in it.
    """
    path = Path(text)
    longer = (other for other in other_runs if other != run and other.endswith(f".{run}"))
    if (
        not path.is_absolute()
        or ".." in path.parts
        or not is_staging_name(path.name, run)
        or any(is_staging_name(path.name, other) for other in longer)
    ):
        return f"not a staging folder of run {printable(run)}"
    try:
        info = path.lstat()
    except OSError as error:
        return f"not readable: {error.strerror}"
    if not stat.S_ISDIR(info.st_mode):
        return f"not a staging folder of run {printable(run)}: it is no folder"
    if info.st_uid != os.getuid():
        return f"not a staging folder of run {printable(run)}: it belongs to another user"
    if os.path.ismount(path) or any(os.path.ismount(folder) for folder, _, _ in os.walk(path)):
        return f"not a staging folder of run {printable(run)}: a file system is mounted there"
    return ""


def exists(text: str) -> bool:
    """Whether a path may be there. A symbolic link is, whatever it leads to, and so is what cannot be looked at."""
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def folder_size(path: Path) -> int:
    """Bytes of all files below a folder. Links are not followed."""
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files if exists(str(file)))


def printable(text: str) -> str:
    """Text of the journal without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)
