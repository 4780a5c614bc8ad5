"""What the server does by itself for triggers: due instants, firings that may begin, and ends of runs that others follow.

Any number of server processes do this on one database. What is due is in the database and not in a process: a trigger's next due
instant is moved on in the transaction that writes its firings, and each of them has a key that is there once.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from swath.crashpoint import reached
from swath.errors import SwathError
from swath.server.database.database import Connection, Database, Row
from swath.server.triggers.firings import AskedFiring, Firings, end_firing, tick
from swath.server.triggers.stored import COLUMNS, FROM, StoredTrigger, locked_trigger
from swath.triggers.firing_rules import due_firings, followers, found_of_run
from swath.triggers.trigger import CronTrigger, EveryTrigger, ServerTrigger

log = logging.getLogger(__name__)
AT_ONCE = 100
"""Triggers, or ends of runs, in one transaction."""


class Scheduler:
    """Fires triggers of the server's database."""

    def __init__(self, database: Database, firings: Firings, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._firings = firings
        self._clock = clock

    def turn(self) -> int:
        """Do what is to be done now. Returns how much was done: runs may be queued then."""
        done = 0
        for step in (self._ends, self._due, self._begin):
            while count := step():
                done += count
        return done

    # --- schedules

    def _due(self) -> int:
        now = self._clock()
        with self._database.reading() as db:
            due = db.execute("SELECT id FROM triggers WHERE next_due <= ? ORDER BY next_due LIMIT ?", (now, AT_ONCE))
        if not due:
            return 0
        try:
            return self._fire_some(now)
        except SwathError:  # the database is away, and all stays due
            raise
        except Exception:
            log.exception("%s triggers were not fired together; each is fired alone", len(due))
        for row in due:
            try:
                self._fire_some(now, row["id"])
            except SwathError:
                raise
            except Exception:
                log.exception("the trigger %s cannot be fired", row["id"])
                self._give_up(row["id"], now)
        return len(due)

    def _fire_some(self, now: float, trigger: str = "") -> int:
        """Fire what is due, in one transaction. trigger: only this one."""
        only = "id = ? AND" if trigger else ""
        with self._database.transaction() as db:
            rows = db.execute(
                f"SELECT id FROM triggers WHERE {only} next_due <= ? ORDER BY next_due LIMIT ? {self._database.skip_locked}",
                (*([trigger] if trigger else []), now, AT_ONCE),
            )
            for row in rows:
                stored = StoredTrigger(db.execute(f"SELECT {COLUMNS} {FROM} WHERE triggers.id = ?", (row["id"],))[0])
                self._fire_due(db, stored, now)
        reached("fired")
        return len(rows)

    def _give_up(self, trigger: str, now: float) -> None:
        """One trigger that nobody has foreseen holds up no others: it is due no more until it is written again, or resumed."""
        with self._database.transaction() as db:
            if locked_trigger(db, self._database, trigger) is not None:
                db.execute("UPDATE triggers SET next_due = NULL WHERE id = ?", (trigger,))
                tick(db, trigger, "failed", "the server could not fire it, as its log says; write it again", now)

    def _fire_due(self, db: Connection, stored: StoredTrigger, now: float) -> None:
        try:
            trigger = stored.trigger
        except ValidationError:  # an older swath wrote it, and this one does not take it any more
            db.execute("UPDATE triggers SET next_due = NULL WHERE id = ?", (stored.id,))
            tick(db, stored.id, "failed", "this version of swath cannot read the trigger: write it again", now)
            return
        assert isinstance(trigger, CronTrigger | EveryTrigger), "nothing else has a due instant"
        due = due_firings(stored.name, trigger, stored.row["considered"], now, stored.row["missed"])
        considered = now if due is not None else stored.row["considered"]
        db.execute(
            "UPDATE triggers SET considered = ?, next_due = ?, missed = '' WHERE id = ?",
            (considered, next_due(trigger, considered), stored.id),
        )
        for each in due.firings if due is not None else ():
            asked = AskedFiring(each.key, each.moment.timestamp(), not_before=each.not_before, expires=each.expires)
            self._firings.fire(db, stored, asked, now, "due")
        if due is not None and due.left_out:
            tick(db, stored.id, "skipped", due.left_out, now)

    # --- firings that wait

    def _begin(self) -> int:
        now = self._clock()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT trigger_id FROM firings WHERE state = 'waiting' AND (expires < ? OR (not_before <= ? AND NOT EXISTS"
                " (SELECT 1 FROM firings AS others WHERE others.trigger_id = firings.trigger_id AND others.state = 'begun')))"
                " LIMIT ?",
                (now, now, AT_ONCE),
            )
        begun = 0
        for row in rows:
            try:
                begun += self._begin_next(row["trigger_id"], now)
            except SwathError:
                raise
            except Exception:  # it waits, and holds up no others
                log.exception("a firing of the trigger %s cannot begin", row["trigger_id"])
        return begun

    def _begin_next(self, trigger: str, now: float) -> bool:
        with self._database.transaction() as db:
            stored = locked_trigger(db, self._database, trigger)
            return stored is not None and bool(self._firings.begin_next(db, stored, now))

    # --- runs that have ended

    def _ends(self) -> int:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT trigger_id, number FROM firings JOIN runs ON runs.id = firings.run_id WHERE firings.state = 'begun' AND"
                " runs.state = 'ended' ORDER BY runs.ended LIMIT ?",
                (AT_ONCE,),
            )
        for row in rows:
            with self._database.transaction() as db:
                self._end(db, row["trigger_id"], row["number"])
        reached("followed")
        return len(rows)

    def _end(self, db: Connection, trigger: str, number: int) -> None:
        """The run of a firing has ended, which others may follow. Another server process may have seen it first."""
        stored = locked_trigger(db, self._database, trigger)
        rows = db.execute(
            "SELECT firings.found, depth, run_id, runs.status, runs.error, runs.outputs FROM firings JOIN runs ON runs.id ="
            " firings.run_id WHERE trigger_id = ? AND number = ? AND firings.state = 'begun' AND runs.state = 'ended'",
            (trigger, number),
        )
        if stored is None or not rows:
            return
        row, now = rows[0], self._clock()
        end_firing(db, trigger, number, row["status"], row["error"])
        others = db.execute(
            f"SELECT {COLUMNS} {FROM} WHERE project = ? AND kind = 'follow'", (stored.row["project_id"],)
        )
        triggers = {each.name: each for each in map(StoredTrigger, others)}
        named = {name: each.trigger for name, each in triggers.items() if each.is_readable}
        for name, _ in followers(named, stored.name, row["status"]):
            self._follow(db, triggers[name].id, row, now)

    def _follow(self, db: Connection, trigger: str, row: Row, now: float) -> None:
        stored = locked_trigger(db, self._database, trigger)
        if stored is None:
            return
        if stored.row["paused"]:
            tick(db, trigger, "skipped", f"after {row['run_id']}: it is paused", now)
            return
        found = found_of_run(json.loads(row["found"]), row["run_id"], row["status"], json.loads(row["outputs"]))
        expires = None if stored.trigger.expires is None else now + stored.trigger.expires
        asked = AskedFiring(row["run_id"], now, found, expires=expires, depth=row["depth"] + 1)
        self._firings.fire(db, stored, asked, now, "after")


def next_due(trigger: ServerTrigger, considered: float) -> float | None:
    """When a schedule is due next, after all until `considered` was dealt with; None for another kind of trigger."""
    if not isinstance(trigger, CronTrigger | EveryTrigger):
        return None
    return trigger.schedule().next_after(datetime.fromtimestamp(considered, UTC)).timestamp()
