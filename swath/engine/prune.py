"""Pruning: which runs are old, which results and files no other run needs, and their removal in short steps.

What a run that goes on may use is never touched: it can take up any result of the journal at any time. So the runs
themselves are removed whenever they are old, but results only while the caller holds `swath.runner.lock.unused`.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.store_files import StoreFiles

STEP_S = 1.0
"""How long a run that wants to begin, or to write, is kept waiting at most."""
SLICE = 5000
"""Rows that are removed in one transaction."""
PAUSE_S = 0.1
"""Between steps, so that who waits comes in."""
YOUNG_S = 3600.0
"""A file of the store that nothing names may be one that is being written, or was by a run that has just been killed."""
FOREVER = 1 << 60


@dataclass(frozen=True)
class PruneLimits:
    """What is old."""

    older_than_s: float
    """Runs that ended longer ago are."""
    max_bytes: int | None = None
    """More than that is not kept: done runs go, oldest first, however young."""


@dataclass(frozen=True)
class OldRun:
    """A run that is to be removed."""

    id: str
    status: str
    ended: float
    bytes: int
    """Of its folder."""


@dataclass(frozen=True)
class PruneCandidates:
    """What can be removed."""

    runs: tuple[OldRun, ...]
    results: int
    """Rows of results that no run needs which stays."""
    result_bytes: int
    """What those rows hold in the journal itself."""
    files: dict[str, int]
    """Path or URL of a file of the store -> bytes."""
    open_runs: tuple[str, ...]
    """Runs that go on: while there are any, results stay."""
    kept_bytes: int
    """What is left when all of that is gone, about."""

    @property
    def bytes(self) -> int:
        """What would be free again, about."""
        return sum(run.bytes for run in self.runs) + self.result_bytes + sum(self.files.values())


def find_candidates(journal: Journal, store: StoreFiles, limits: PruneLimits, now: float) -> PruneCandidates:
    """Look at everything; removes nothing. The keys of surplus results are left in a temporary table of the connection."""
    runs = journal.runs()
    leased = {lease.run for lease in journal.leases()}
    folders = {run.id: _size(journal.folder / "runs" / run.id) for run in runs}
    held = {run.id for run in runs if run.status == "running" or run.id in leased}
    old = {run.id for run in runs if run.id not in held and now - _ended(run) > limits.older_than_s}
    everything = store.total + sum(folders.values()) + _journal_bytes(journal)
    if limits.max_bytes is not None:
        spare = [run for run in runs if run.id not in held | old and run.status == "done"]
        old |= _for_size(journal, old, sorted(spare, key=_ended), folders, everything - limits.max_bytes)
    count, inline = _find_results(journal, old, now - limits.older_than_s)
    files = _find_files(journal, store, now)
    gone = tuple(OldRun(r.id, r.status, _ended(r), folders[r.id]) for r in sorted(runs, key=_ended) if r.id in old)
    open_runs = tuple(run.id for run in runs if run.status == "running")
    found = PruneCandidates(gone, count, inline, files, open_runs, 0)
    return PruneCandidates(gone, count, inline, files, open_runs, everything - found.bytes)


def remove_runs(journal: Journal, runs: Iterable[OldRun]) -> Iterator[OldRun]:
    """Remove runs with their calls, lines and folders, and give each that is gone. One that was taken up again stays."""
    for run in runs:
        if not _still(journal, run):
            continue
        # Files first: on a full disk the journal cannot even be made smaller before something else is.
        shutil.rmtree(journal.folder / "runs" / run.id, ignore_errors=True)
        if all(_empty(journal, run, table) for table in ("logs", "calls", "nodes")) and _removed(journal, run):
            yield run


def remove_results(
    journal: Journal,
    store: StoreFiles,
    surplus: PruneCandidates,
    alone: Callable[[], AbstractContextManager[bool]],
    version: int,
) -> Iterator[int]:
    """Remove surplus results, and give the bytes of each step. Stops when a run has begun: what it uses is not known.

    `alone` is entered for each step; it gives False while a run goes on. `version` is the journal's at the survey.
    """
    files = iter(surplus.files.items())
    rows = True
    while True:
        with alone() as free:
            if not free or journal.version() != version:
                return
            until, freed = time.monotonic() + STEP_S, 0
            while rows and time.monotonic() < until:
                rows = _remove_rows(journal)
            while not rows and time.monotonic() < until:
                path, size = next(files, ("", 0))
                if not path:
                    yield freed
                    return
                store.remove(path)
                freed += size
            yield freed
        time.sleep(PAUSE_S)


def shrink_journal(journal: Journal, alone: Callable[[], AbstractContextManager[bool]]) -> None:
    """Make the journal's file as small as what is in it, a few pages at a time."""
    if journal.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
        # Made before journals were told to keep account of their pages: once it has to be written anew as a whole.
        with alone() as free:
            if free:
                journal.execute("PRAGMA auto_vacuum = INCREMENTAL")
                journal.execute("VACUUM")
    while journal.execute("PRAGMA freelist_count").fetchone()[0]:
        before = journal.execute("PRAGMA freelist_count").fetchone()[0]
        journal.execute("PRAGMA incremental_vacuum(2000)").fetchall()  # a page is freed for each row that is fetched
        if journal.execute("PRAGMA freelist_count").fetchone()[0] >= before:
            break
        time.sleep(0.01)
    with alone() as free:
        # Waits for readers, and lets nobody write meanwhile, so only while nobody does.
        journal.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if free else 'PASSIVE'})").fetchall()


# --- finding


def _ended(run: RunRow) -> float:
    return run.finished or run.heartbeat or run.started


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _journal_bytes(journal: Journal) -> int:
    return sum(file.stat().st_size for file in journal.folder.glob("journal.sqlite*"))


def _for_size(journal: Journal, old: set[str], spare: list[RunRow], folders: dict[str, int], too_much: int) -> set[str]:
    """The first of `spare` that must go too so that as many bytes go as are too much."""
    order = dict.fromkeys(old, 0) | {run.id: place for place, run in enumerate(spare, 1)}
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS places (run TEXT PRIMARY KEY, place INTEGER)")
    journal.execute("DELETE FROM places")
    for run, place in order.items():
        journal.execute("INSERT INTO places VALUES (?, ?)", (run, place))
    # A result goes with the last run that needs it.
    freed = [0] * (len(spare) + 1)
    for place, size in journal.execute(
        "SELECT last, sum(size) FROM (SELECT max(coalesce(place, ?)) AS last, max(size) AS size FROM calls"
        " JOIN results USING (key) LEFT JOIN places USING (run) GROUP BY digest) WHERE last < ? GROUP BY last",
        (FOREVER, FOREVER),
    ):
        freed[place] += size
    for run, place in order.items():
        freed[place] += folders[run]
    gone, going = set(), freed[0]
    for place, row in enumerate(spare, 1):
        if going >= too_much:
            break
        gone.add(row.id)
        going += freed[place]
    return gone


def _find_results(journal: Journal, old: set[str], before: float) -> tuple[int, int]:
    """Note the keys of results that no run needs but old ones; of those that no run names, such as were made long ago."""
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS old (run TEXT PRIMARY KEY)")
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS needed (key TEXT PRIMARY KEY) WITHOUT ROWID")
    journal.execute("CREATE TEMP TABLE IF NOT EXISTS surplus (key TEXT)")
    # No transaction: these tables are ours alone, and who writes the journal meanwhile is not kept waiting.
    for table in ("old", "needed", "surplus"):
        journal.execute(f"DELETE FROM temp.{table}")
    for run in old:
        journal.execute("INSERT INTO temp.old VALUES (?)", (run,))
    journal.execute(
        "INSERT OR IGNORE INTO temp.needed SELECT key FROM calls WHERE run NOT IN (SELECT run FROM temp.old)"
    )
    journal.execute(
        "INSERT INTO temp.surplus SELECT key FROM results WHERE key NOT IN (SELECT key FROM temp.needed)"
        " AND (made < ? OR run IN (SELECT run FROM temp.old) OR run NOT IN (SELECT id FROM runs))",
        (before,),
    )
    count, size = journal.execute(
        "SELECT count(*), coalesce(sum(length(data)), 0) FROM results WHERE key IN (SELECT key FROM temp.surplus)"
    ).fetchone()
    return int(count), int(size)


def _find_files(journal: Journal, store: StoreFiles, now: float) -> dict[str, int]:
    """Files of the store that no result needs which stays."""
    staying = "FROM results WHERE key NOT IN (SELECT key FROM temp.surplus)"
    named = {row[0] for row in journal.execute(f"SELECT digest {staying} AND data IS NULL")}
    known = {row[0] for row in journal.execute("SELECT digest FROM results WHERE data IS NULL")}
    free = {
        digest: file
        for digest, file in store.files.items()
        if digest not in named and (digest in known or now - file.modified > YOUNG_S)
    }
    if free:
        # A sequence is kept in pages, which are named in the result that holds it and nowhere else.
        inline = (row[0] for row in journal.execute(f"SELECT data {staying} AND data IS NOT NULL"))
        for digest in _mentioned(inline, named, store, set(free)):
            del free[digest]
    stale = [file for file in store.temporary if now - file.modified > YOUNG_S]
    return {file.path: file.size for file in (*free.values(), *stale)}


def _mentioned(inline: Iterable[bytes], named: set[str], store: StoreFiles, free: set[str]) -> set[str]:
    """Those of `free` whose digest stands in a result that stays, or in a file that is mentioned in one."""
    lengths = "|".join(f"[0-9a-f]{{{length}}}" for length in sorted({len(digest) for digest in free}))
    digests = re.compile(rf"(?<![0-9a-f])(?:{lengths})(?![0-9a-f])".encode())
    found: set[str] = set()

    def look(data: bytes) -> set[str]:
        return {digest.decode() for digest in digests.findall(data)} & free - found

    for data in inline:
        found |= look(data)
    unread = [*named, *found]
    while unread:
        read = store.read(unread.pop())
        new = look(read) if read is not None else set()
        found |= new
        unread += new
    return found


# --- removing


def _empty(journal: Journal, run: OldRun, table: str) -> bool:
    """Remove a run's rows of a table in short steps; False when the run has been taken up again."""
    key = {"logs": "id", "calls": "run, node, item", "nodes": "run, node"}[table]
    sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE run = ? LIMIT {SLICE})"
    while True:
        with journal.transaction():
            if not _still(journal, run):
                return False
            if journal.execute(sql, (run.id,)).rowcount < SLICE:
                return True
        time.sleep(0.01)  # whoever waits to write does so now


def _removed(journal: Journal, run: OldRun) -> bool:
    with journal.transaction():
        if not _still(journal, run):
            return False
        journal.execute("DELETE FROM runs WHERE id = ?", (run.id,))
        return True


def _still(journal: Journal, run: OldRun) -> bool:
    """Whether a run is as it was listed. A crashed one is `running` in its row, with the time at which it was last seen."""
    row = journal.execute("SELECT finished, heartbeat, started FROM runs WHERE id = ?", (run.id,)).fetchone()
    leased = journal.execute("SELECT 1 FROM leases WHERE run = ?", (run.id,)).fetchone()
    return row is not None and leased is None and (row[0] or row[1] or row[2]) == run.ended


def _remove_rows(journal: Journal) -> bool:
    """Remove some surplus results from the journal; False when none are left."""
    with journal.transaction():
        some = f"SELECT key FROM temp.surplus ORDER BY rowid LIMIT {SLICE}"
        journal.execute(f"DELETE FROM results WHERE key IN ({some})")
        left: bool = journal.execute(f"DELETE FROM temp.surplus WHERE key IN ({some})").rowcount == SLICE
    return left
