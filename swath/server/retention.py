"""Retention: old runs, log lines and records of changes are removed, a slice in a transaction, so that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.server.database.database import Connection, Database

DAY_S = 24 * 3600.0
KEEP_FIRINGS = 100
"""Of each trigger, however old."""
RUN_TABLES = ("lines", "live", "attempts")
"""Tables with rows of a run, in the order in which they are emptied."""


@dataclass(frozen=True)
class Keep:
    """How long what has ended is stored, in seconds from its end."""

    done_s: float = 90 * DAY_S
    """Runs with the status `done`."""
    failed_s: float = 365 * DAY_S
    """All others that have ended, and firings of triggers whose keys come once: instants, requests, runs that are followed."""
    lines_s: float = 30 * DAY_S
    """Log lines: the journal on the agent's machine has them for longer."""
    audit_s: float = 400 * DAY_S
    """Records of changes."""
    rows: int = 1000
    """In one transaction."""


class Retention:
    """Removes what is older than it has to be."""

    def __init__(self, database: Database, keep: Keep = Keep(), clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock

    def remove_slice(self) -> int:
        """Remove up to so many rows in one transaction. Returns how many; 0 when nothing is left to remove."""
        with self._database.transaction() as db:
            return self._lines(db) or self._runs(db) or self._audit(db) or self._firings(db) or self._inquiries(db)

    def _lines(self, db: Connection) -> int:
        """Lines of one run: of one whose lines are old, or that is to go itself."""
        now = self._clock()
        found = db.execute(
            "SELECT id FROM runs WHERE state = 'ended' AND (ended < ? OR (status = 'done' AND ended < ?) OR ended < ?)"
            " AND EXISTS (SELECT 1 FROM lines WHERE lines.run = runs.id)"
            f" ORDER BY ended LIMIT 1 {self._database.for_update}",
            (now - self._keep.lines_s, now - self._keep.done_s, now - self._keep.failed_s),
        )
        if not found:
            return 0
        run = found[0]["id"]
        gone = db.execute(
            "DELETE FROM lines WHERE run = ? AND id IN (SELECT id FROM lines WHERE run = ? ORDER BY id LIMIT ?) RETURNING id",
            (run, run, self._keep.rows),
        )
        return len(gone)

    def _runs(self, db: Connection) -> int:
        """Runs, with all that belongs to them. Their lines have gone before."""
        now = self._clock()
        found = db.execute(
            "SELECT id FROM runs WHERE state = 'ended' AND ((status = 'done' AND ended < ?) OR (status <> 'done' AND ended < ?))"
            f" ORDER BY ended LIMIT ? {self._database.for_update}",
            (now - self._keep.done_s, now - self._keep.failed_s, max(1, self._keep.rows // 10)),
        )
        for row in found:
            for table in RUN_TABLES:
                db.execute(f"DELETE FROM {table} WHERE run = ?", (row["id"],))
            db.execute("DELETE FROM runs WHERE id = ?", (row["id"],))
        return len(found)

    def _audit(self, db: Connection) -> int:
        gone = db.execute(
            "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE time < ? ORDER BY time LIMIT ?) RETURNING id",
            (self._clock() - self._keep.audit_s, self._keep.rows),
        )
        return len(gone)

    def _firings(self, db: Connection) -> int:
        """Firings that have ended, but for those of sensors, whose keys say what is not new, and the newest ones of each trigger: the
        next run may want values of the one that was done before."""
        gone = db.execute(
            "DELETE FROM firings WHERE (trigger_id, number) IN (SELECT trigger_id, number FROM firings JOIN triggers ON triggers.id ="
            " trigger_id WHERE state = 'ended' AND made < ? AND kind <> 'sensor' AND number <= triggers.firings - ? AND number <>"
            " coalesce((SELECT max(number) FROM firings AS others WHERE others.trigger_id = firings.trigger_id AND status = 'done'),"
            " 0) ORDER BY trigger_id, number LIMIT ?) RETURNING key",
            (self._clock() - self._keep.failed_s, KEEP_FIRINGS, self._keep.rows),
        )
        return len(gone)

    def _inquiries(self, db: Connection) -> int:
        """Inquiries of projects of which nobody asks any more; the newest schemas stay."""
        gone = db.execute(
            "DELETE FROM inquiries WHERE id IN (SELECT id FROM inquiries WHERE asked < ? AND (kind <> 'schemas' OR failed = 1 OR"
            " answered IS NULL) LIMIT ?) RETURNING id",
            (self._clock() - DAY_S, self._keep.rows),
        )
        return len(gone)
