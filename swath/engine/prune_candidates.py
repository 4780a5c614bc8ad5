"""Finds what can be pruned: old runs, and results and files of the store that no other run needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.store_files import StoreFiles

YOUNG_S = 3600.0
"""A younger file of the store that no row names may be one that is being written, or was by a run that has just been killed."""
FOREVER = 1 << 60


@dataclass(frozen=True)
class PruneLimits:
    """Which runs are old."""

    older_than_s: float
    """Runs that ended longer ago."""
    max_bytes: int | None = None
    """Runs that are done go, oldest first, until the state folder is no larger; None is no limit."""


@dataclass(frozen=True)
class OldRun:
    """A run that can be removed."""

    id: str
    status: str
    ended: float
    """Seconds since the epoch; the last heartbeat of a crashed one."""
    bytes: int
    """Of its folder."""


@dataclass(frozen=True)
class PruneCandidates:
    """What can be removed."""

    runs: tuple[OldRun, ...]
    results: int
    """Rows of results that no remaining run needs."""
    result_bytes: int
    """Of the results in those rows themselves."""
    files: dict[str, int]
    """Path or URL of a file of the store -> bytes."""
    open_runs: tuple[str, ...]
    """Runs that are running: while there are any, results stay."""
    kept_bytes: int
    """About what is left after all of that is removed."""

    @property
    def bytes(self) -> int:
        """About what would be freed."""
        return sum(run.bytes for run in self.runs) + self.result_bytes + sum(self.files.values())


def find_candidates(journal: Journal, store: StoreFiles, limits: PruneLimits, now: float) -> PruneCandidates:
    """Find what can be pruned; removes nothing. Leaves the keys of unneeded results in the connection's table temp.unneeded."""
    runs = journal.runs()
    leased = {lease.run for lease in journal.leases()}
    folders = {run.id: _size(journal.folder / "runs" / run.id) for run in runs}
    in_use = {run.id for run in runs if run.status == "running" or run.id in leased}
    old = {run.id for run in runs if run.id not in in_use and now - _ended(run) > limits.older_than_s}
    total = store.total + sum(folders.values()) + _journal_bytes(journal)
    if limits.max_bytes is not None:
        done = [run for run in runs if run.id not in in_use | old and run.status == "done"]
        old |= _for_size(journal, old, sorted(done, key=_ended), folders, total - limits.max_bytes)
    count, inline = _find_results(journal, old, now - limits.older_than_s)
    files = _find_files(journal, store, now)
    found = tuple(OldRun(r.id, r.status, _ended(r), folders[r.id]) for r in sorted(runs, key=_ended) if r.id in old)
    open_runs = tuple(run.id for run in runs if run.status == "running")
    candidates = PruneCandidates(found, count, inline, files, open_runs, 0)
    return replace(candidates, kept_bytes=total - candidates.bytes)


def _ended(run: RunRow) -> float:
    return run.finished or run.heartbeat or run.started


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _journal_bytes(journal: Journal) -> int:
    return sum(file.stat().st_size for file in journal.folder.glob("journal.sqlite*"))


def _for_size(journal: Journal, old: set[str], done: list[RunRow], folders: dict[str, int], excess: int) -> set[str]:
    """The first runs of `done` that must go as well, so that `excess` bytes are freed."""
    order = dict.fromkeys(old, 0) | {run.id: place for place, run in enumerate(done, 1)}
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS places (run TEXT PRIMARY KEY, place INTEGER)")
    journal.execute("DELETE FROM places")
    for run, place in order.items():
        journal.execute("INSERT INTO places VALUES (?, ?)", (run, place))
    # A result goes with the last run that needs it.
    freed = [0] * (len(done) + 1)
    for place, size in journal.execute(
        "SELECT last, sum(size) FROM (SELECT max(coalesce(place, ?)) AS last, max(size) AS size FROM calls"
        " JOIN results USING (key) LEFT JOIN places USING (run) GROUP BY digest) WHERE last < ? GROUP BY last",
        (FOREVER, FOREVER),
    ):
        freed[place] += size
    for run, place in order.items():
        freed[place] += folders[run]
    gone, going = set(), freed[0]
    for place, row in enumerate(done, 1):
        if going >= excess:
            break
        gone.add(row.id)
        going += freed[place]
    return gone


def _find_results(journal: Journal, old: set[str], before: float) -> tuple[int, int]:
    """Collect the keys of results that only old runs need in the table temp.unneeded, and of results that no run names those older
    than `before`. Returns their number, and the bytes of those that are in the journal itself."""
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS old (run TEXT PRIMARY KEY)")
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS needed (key TEXT PRIMARY KEY) WITHOUT ROWID")
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS unneeded (key TEXT)")
    # No transaction: these tables belong to this connection, and other writers of the journal need not wait.
    for table in ("old", "needed", "unneeded"):
        journal.execute(f"DELETE FROM temp.{table}")
    for run in old:
        journal.execute("INSERT INTO temp.old VALUES (?)", (run,))
    journal.execute(
        "INSERT OR IGNORE INTO temp.needed SELECT key FROM calls WHERE run NOT IN (SELECT run FROM temp.old)"
    )
    journal.execute(
        "INSERT INTO temp.unneeded SELECT key FROM results WHERE key NOT IN (SELECT key FROM temp.needed)"
        " AND (made < ? OR run IN (SELECT run FROM temp.old) OR run NOT IN (SELECT id FROM runs))",
        (before,),
    )
    count, size = journal.execute(
        "SELECT count(*), coalesce(sum(length(data)), 0) FROM results WHERE key IN (SELECT key FROM temp.unneeded)"
    ).fetchone()
    return int(count), int(size)


def _find_files(journal: Journal, store: StoreFiles, now: float) -> dict[str, int]:
    """Files of the store that no remaining result needs, with their bytes."""
    staying = "FROM results WHERE key NOT IN (SELECT key FROM temp.unneeded)"
    named = {row[0] for row in journal.execute(f"SELECT digest {staying} AND data IS NULL")}
    known = {row[0] for row in journal.execute("SELECT digest FROM results WHERE data IS NULL")}
    free = {
        digest: file
        for digest, file in store.files.items()
        if digest not in named and (digest in known or now - file.modified > YOUNG_S)
    }
    if free:
        # A sequence is stored in pages, which are named in the result that contains it and nowhere else.
        inline = (row[0] for row in journal.execute(f"SELECT data {staying} AND data IS NOT NULL"))
        for digest in _mentioned(inline, named, store, set(free)):
            del free[digest]
    stale = [file for file in store.temporary if now - file.modified > YOUNG_S]
    return {file.path: file.size for file in (*free.values(), *stale)}


def _mentioned(inline: Iterable[bytes], named: set[str], store: StoreFiles, free: set[str]) -> set[str]:
    """Those of `free` whose digest is in a remaining result, or in a file that is mentioned in one."""
    lengths = "|".join(f"[0-9a-f]{{{length}}}" for length in sorted({len(digest) for digest in free}))
    digests = re.compile(rf"(?<![0-9a-f])(?:{lengths})(?![0-9a-f])".encode())
    found: set[str] = set()

    def search(data: bytes) -> set[str]:
        return {digest.decode() for digest in digests.findall(data)} & free - found

    for data in inline:
        found |= search(data)
    unread = [*named, *found]
    while unread:
        read = store.read(unread.pop())
        new = search(read) if read is not None else set()
        found |= new
        unread += new
    return found
