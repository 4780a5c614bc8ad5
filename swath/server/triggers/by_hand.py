"""Firing by hand: a run of a trigger now, once more for what a sensor found, or a look at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from swath.protocol.triggers import Fired
from swath.server.audit import record
from swath.server.database.database import Connection, Database
from swath.server.refusals import Conflict, NotFound, Refusal
from swath.server.triggers.firings import AskedFiring, Firings
from swath.server.triggers.stored import StoredTrigger, find_trigger, locked_trigger
from swath.triggers.firing_rules import due_key
from swath.triggers.trigger import AfterTrigger, HookTrigger


class ByHand:
    """Fires triggers because somebody wants it."""

    def __init__(self, database: Database, firings: Firings, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._firings = firings
        self._clock = clock

    def fire(self, project: str, name: str, key: str | None, *, who: str) -> Fired:
        """Ask for a run now; for a sensor without a key, for a look. Raises NotFound, Conflict, Refusal."""
        now = self._clock()
        with self._database.transaction() as db:
            stored = locked_trigger(db, self._database, find_trigger(db, project, name).id)
            if stored is None:
                raise NotFound(f"there is no trigger {name!r} in the project {project!r}")
            record(db, now, who, "fire trigger", f"{project}/{name}", {"key": key or ""})
            if key is None and stored.is_sensor:
                return self._look(db, stored, now)
            asked = self._asked(db, stored, key, now)
            if not self._firings.fire(db, stored, asked, now, f"by {who}:"):
                raise Conflict(f"{name} was fired by hand in this second already", remedy="once more in a second")
            rows = db.execute("SELECT run_id FROM firings WHERE trigger_id = ? AND key = ?", (stored.id, asked.key))
            return Fired(key=asked.key, run=rows[0]["run_id"])

    def _look(self, db: Connection, stored: StoredTrigger, now: float) -> Fired:
        if stored.row["paused"]:
            raise Conflict(f"{stored.name} is paused", remedy="resume it first")
        db.execute("UPDATE looks SET due = ? WHERE id = ? AND due > ?", (now, stored.id, now))
        return Fired(key="", run="")

    def _asked(self, db: Connection, stored: StoredTrigger, key: str | None, now: float) -> AskedFiring:
        at = due_key(datetime.fromtimestamp(now, UTC))
        if key is None:
            if isinstance(stored.trigger, AfterTrigger):
                raise Refusal(f"{stored.name} follows runs of {stored.trigger.after}", remedy="fire that one")
            if isinstance(stored.trigger, HookTrigger):
                raise Refusal(f"{stored.name} is fired by signed requests", remedy="give the key of an earlier one")
            return AskedFiring(f"by hand at {at}", now)
        rows = db.execute("SELECT due, found FROM firings WHERE trigger_id = ? AND key = ?", (stored.id, key))
        if not rows:
            raise Refusal(f"{stored.name} has no firing {key!r}", remedy="its page lists the keys")
        return AskedFiring(f"{key} again at {at}"[:500], rows[0]["due"], json.loads(rows[0]["found"]))
