"""A run's journal and folder as one archive, for a machine that forgets its disk; and back again on the next machine.

The archive is a zip file with `journal.sqlite`, which has this run only, and the files of `runs/RUN` below `run/`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swath.engine.journal import Journal
from swath.engine.journal_errors import translated_errors
from swath.errors import StateError
from swath.storage.database_copy import copy_sqlite
from swath.storage.private_folder import make_private
from swath.storage.state_owner import mark_as_own

JOURNAL = "journal.sqlite"
_FOLDER = "run/"
MOST_FILES = 10_000
MOST_BYTES = 8 << 30
"""Of all files in an archive."""
FINISHED = ("done", "reused", "step")
"""States of calls that are not made again."""

_OTHERS = (
    "DELETE FROM results WHERE run <> :run AND key NOT IN (SELECT key FROM calls WHERE run = :run)",
    "DELETE FROM calls WHERE run <> :run",
    "DELETE FROM nodes WHERE run <> :run",
    "DELETE FROM logs WHERE run <> :run",
    "DELETE FROM leases WHERE run <> :run",
    "DELETE FROM runs WHERE id <> :run",
)


def pack(state: Path, run: str, archive: Path) -> None:
    """Write the archive of a run that is in the journal of a state folder, also while it goes on. Raises StateError."""
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
            journal = Path(scratch) / JOURNAL
            copy_sqlite(state / JOURNAL, journal)
            with translated_errors(journal), contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as copy:
                _leave_only(copy, run)
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
                target.write(journal, JOURNAL)
                for file, name in _files(state / "runs" / run):
                    with contextlib.suppress(FileNotFoundError):  # one that is replaced just now
                        target.write(file, f"{_FOLDER}{name}")
    except (OSError, ValueError) as error:
        raise StateError(f"the journal of {run} cannot be copied: {error}", remedy="free some space") from error


@dataclass(frozen=True)
class Unpacked:
    """What an archive had."""

    finished: int
    """Number of finished calls."""
    root: str
    """Where the run's project was. At another path results do not fit: modules of a project are named after it."""


def unpack(archive: Path, state: Path, run: str, root: Path) -> Unpacked:
    """Put a run's journal and folder into a state folder that has no journal.

    root: where the run's project is on this machine. The run counts as ended where its journal ends. Raises StateError for an archive
    that is damaged, too large, of another run, or of a newer swath; then nothing is changed.
    """
    if (state / JOURNAL).exists():
        raise StateError(f"{state} has a journal already")
    try:
        make_private(state)
        with tempfile.TemporaryDirectory(dir=state, prefix=".carried-") as scratch, zipfile.ZipFile(archive) as source:
            place = Path(scratch)
            for member in _checked(source):
                target = place / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as content, target.open("xb") as file:
                    shutil.copyfileobj(content, file)
            found = _as_ended(place, run, root)
            folder = state / "runs" / run
            if (place / "run").is_dir():
                make_private(folder.parent)
                shutil.rmtree(folder, ignore_errors=True)
                (place / "run").replace(folder)
            (place / JOURNAL).replace(state / JOURNAL)  # last: with it the run is there
            mark_as_own(state)
    except StateError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise StateError(f"the archive of {run} is damaged: {error}") from error
    return found


def _leave_only(copy: sqlite3.Connection, run: str) -> None:
    """Remove other runs from a copy of a journal, with the results that only they used."""
    if copy.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is None:
        raise StateError(f"the journal has no run {run}")
    if copy.execute("SELECT count(*) FROM runs").fetchone()[0] > 1:
        for statement in _OTHERS:
            copy.execute(statement, {"run": run})
        copy.execute("VACUUM")


def _files(folder: Path) -> list[tuple[Path, str]]:
    found = []
    for here, _, names in os.walk(folder):
        for name in names:
            file = Path(here) / name
            if file.is_file() and not file.is_symlink() and not name.endswith(".tmp"):
                found.append((file, file.relative_to(folder).as_posix()))
    if len(found) >= MOST_FILES:
        raise StateError(f"{folder} has {len(found):,} files, more than {MOST_FILES:,}")
    return sorted(found)


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of an archive. Raises StateError unless each is the journal, or a file inside of the run's folder."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > MOST_FILES or sum(member.file_size for member in members) > MOST_BYTES:
        raise StateError(f"the archive is too large: {len(members):,} files")
    if JOURNAL not in names or len(set(names)) != len(names):
        raise StateError("the archive is none of a run: it has no journal, or a name twice")
    for name in names:
        parts = PurePosixPath(name).parts
        inside = name.startswith(_FOLDER) and len(parts) > 1 and ".." not in parts and "\\" not in name
        if name != JOURNAL and (not inside or name.endswith("/")):
            raise StateError(f"the archive has a file {name[:200]!r}, which is not of a run")
    return members


def _as_ended(folder: Path, run: str, root: Path) -> Unpacked:
    """Mark the run of a copied journal as crashed where it was running: its process is on a machine that is gone."""
    with (
        contextlib.closing(sqlite3.connect(folder / JOURNAL, isolation_level=None)) as copy,
        translated_errors(folder / JOURNAL),
    ):
        copy.execute("PRAGMA trusted_schema = OFF")
        found = copy.execute("PRAGMA quick_check").fetchone()[0]
        ids = copy.execute("SELECT id FROM runs").fetchall() if found == "ok" else []
        if ids != [(run,)]:
            raise StateError(f"the archive's journal is damaged, or of other runs than {run}")
        copy.execute(
            "UPDATE runs SET status = 'crashed', finished = coalesce(heartbeat, started) WHERE status = 'running'"
        )
        (before,) = copy.execute("SELECT root FROM runs").fetchone()
        copy.execute("UPDATE runs SET cancel = '', root = ?", (str(root),))
    with Journal.open(folder) as journal:  # also brings it to this version
        journal.find(run)
        calls = sum(count for name, count in journal.counts(run).items() if name in FINISHED)
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in folder.glob(f"{JOURNAL}-*"):
        file.unlink()
    return Unpacked(calls, before)
