"""Verifies all results that a journal names, and removes those that are missing or not as they were written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from swath.engine.journal import Journal
from swath.engine.journal_rows import fits
from swath.engine.store import ResultStore
from swath.engine.store_files import StoreFiles
from swath.engine.stored_result import StoredResult
from swath.errors import Locked

SLICE = 500
"""Rows that are read from the journal at once."""


@dataclass(frozen=True)
class CheckedResults:
    """What was verified and removed."""

    files: int
    """Files or objects that rows of the journal name."""
    bytes: int
    """Of those files."""
    rows: int
    """Results in rows of the journal themselves."""
    damaged: tuple[str, ...]
    """Digests of results that were removed: their files, and the rows that name them."""


def check_results(
    journal: Journal, store: ResultStore, exclusive: Callable[[], AbstractContextManager[bool]]
) -> CheckedResults:
    """Read every result that the journal names, and remove those that do not fit.

    exclusive: entered for the removal; yields False while a run is running, which is a Locked error. Files that no row names, such as
    the pages of a sequence, are not read: a run writes them again and verifies them when it reads them.

    Raises StateError when a result cannot be read, StoreDenied when it may not be read; then nothing is removed.
    """
    damaged: dict[str, None] = {}
    rows = size = 0
    last = ""
    while found := journal.execute(
        "SELECT key, digest, size, data FROM results WHERE data IS NOT NULL AND key > ? ORDER BY key LIMIT ?",
        (last, SLICE),
    ).fetchall():
        rows += len(found)
        last = found[-1][0]
        damaged |= {row[1]: None for row in found if not store.is_intact(StoredResult(*row[1:]))}
    for key, checksum, digest, length in journal.execute("SELECT key, checksum, digest, size FROM results"):
        if not fits(key, checksum, digest, length):
            damaged[digest] = None
    files = journal.execute("SELECT DISTINCT digest, size FROM results WHERE data IS NULL ORDER BY digest").fetchall()
    for row in files:
        size += row[1]
        if not store.has(StoredResult(*row)) or not store.is_intact(StoredResult(*row)):
            damaged[row[0]] = None
    if damaged:
        with exclusive() as free:
            if not free:
                raise Locked(
                    f"{len(damaged)} damaged results are not removed while a run is running",
                    remedy="wait for it or `pipe cancel` it, then repeat the command",
                )
            _remove(journal, StoreFiles(store.root), list(damaged))
    return CheckedResults(len({row[0] for row in files}), size, rows, tuple(damaged))


def _remove(journal: Journal, files: StoreFiles, digests: list[str]) -> None:
    with journal.transaction():
        for digest in digests:
            journal.execute("DELETE FROM results WHERE digest = ?", (digest,))
    for digest in digests:
        if digest in files.files:
            files.remove(files.files[digest].path)
