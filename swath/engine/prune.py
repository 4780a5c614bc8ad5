"""Removes old runs, and results and files that no other run needs, in short steps, and makes the journal smaller.

What a running run may use is never touched: it can reuse any result of the journal at any time. So old runs are removed at any
time, but results only under the lock that `swath.runner.lock.unused` takes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from swath.engine.journal import Journal
from swath.engine.prune_candidates import OldRun, PruneCandidates
from swath.engine.store_files import StoreFiles

STEP_S = 1.0
"""How long a run that wants to begin, or to write, has to wait at most."""
SLICE = 5000
"""Rows that are removed in one transaction."""
PAUSE_S = 0.1
"""Between steps, so that other processes get the lock."""


def remove_runs(journal: Journal, runs: Iterable[OldRun]) -> Iterator[OldRun]:
    """Remove runs with their calls, log lines and folders, and yield each that is gone. A run that was resumed meanwhile stays."""
    for run in runs:
        if not _is_unchanged(journal, run):
            continue
        # Files first: on a full disk the journal cannot even shrink before something else is removed.
        shutil.rmtree(journal.folder / "runs" / run.id, ignore_errors=True)
        if all(_remove_rows_of(journal, run, table) for table in ("logs", "calls", "nodes")) and _remove_row(
            journal, run
        ):
            yield run


def remove_results(
    journal: Journal,
    store: StoreFiles,
    candidates: PruneCandidates,
    exclusive: Callable[[], AbstractContextManager[bool]],
    version: int,
) -> Iterator[int]:
    """Remove results, and yield the bytes of each step. Stops when a run has begun: what it uses is not known.

    `exclusive` is entered for each step; it yields False while a run is running. `version` is that of the journal when
    `candidates` were found, which left the keys in temp.unneeded.
    """
    files = iter(candidates.files.items())
    rows = True
    while True:
        with exclusive() as free:
            if not free or journal.version() != version:
                return
            until, freed = time.monotonic() + STEP_S, 0
            while rows and time.monotonic() < until:
                rows = _remove_results(journal)
            while not rows and time.monotonic() < until:
                path, size = next(files, ("", 0))
                if not path:
                    yield freed
                    return
                store.remove(path)
                freed += size
            yield freed
        time.sleep(PAUSE_S)


def shrink_journal(journal: Journal, exclusive: Callable[[], AbstractContextManager[bool]]) -> None:
    """Return unused pages of the journal's file to the file system, a few at a time."""
    if journal.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
        # Of an older version, without a list of unused pages: the file has to be rewritten once.
        with exclusive() as free:
            if free:
                journal.execute("PRAGMA auto_vacuum = INCREMENTAL")
                journal.execute("VACUUM")
    while journal.execute("PRAGMA freelist_count").fetchone()[0]:
        before = journal.execute("PRAGMA freelist_count").fetchone()[0]
        journal.execute("PRAGMA incremental_vacuum(2000)").fetchall()  # a page is freed for each row that is fetched
        if journal.execute("PRAGMA freelist_count").fetchone()[0] >= before:
            break
        time.sleep(0.01)
    with exclusive() as free:
        # TRUNCATE waits for readers and blocks writers, so only while there are none.
        journal.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if free else 'PASSIVE'})").fetchall()


def _remove_rows_of(journal: Journal, run: OldRun, table: str) -> bool:
    """Remove a run's rows of a table in short steps; False when the run was resumed meanwhile."""
    key = {"logs": "id", "calls": "run, node, item", "nodes": "run, node"}[table]
    sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE run = ? LIMIT {SLICE})"
    while True:
        with journal.transaction():
            if not _is_unchanged(journal, run):
                return False
            if journal.execute(sql, (run.id,)).rowcount < SLICE:
                return True
        time.sleep(0.01)  # another process that waits to write can do so now


def _remove_row(journal: Journal, run: OldRun) -> bool:
    with journal.transaction():
        if not _is_unchanged(journal, run):
            return False
        journal.execute("DELETE FROM runs WHERE id = ?", (run.id,))
        return True


def _is_unchanged(journal: Journal, run: OldRun) -> bool:
    """Whether a run is as it was when it was listed. A crashed one is `running` in its row, with its last heartbeat."""
    row = journal.execute("SELECT finished, heartbeat, started FROM runs WHERE id = ?", (run.id,)).fetchone()
    leased = journal.execute("SELECT 1 FROM leases WHERE run = ?", (run.id,)).fetchone()
    return row is not None and leased is None and (row[0] or row[1] or row[2]) == run.ended


def _remove_results(journal: Journal) -> bool:
    """Remove some results of temp.unneeded from the journal; False when none are left."""
    with journal.transaction():
        some = f"SELECT key FROM temp.unneeded ORDER BY rowid LIMIT {SLICE}"
        journal.execute(f"DELETE FROM results WHERE key IN ({some})")
        left: bool = journal.execute(f"DELETE FROM temp.unneeded WHERE key IN ({some})").rowcount == SLICE
    return left
