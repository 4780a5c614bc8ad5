"""Firings: each key of a trigger gets one run, whichever server process is asked, and whenever one of them ends.

A firing is `waiting`, `begun` (its run is queued or goes on) or `ended`. It is written in the transaction that stores what was dealt
with, and its run in the transaction that makes it begun. All functions are parts of a transaction that holds the trigger's row.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from swath.crashpoint import reached
from swath.errors import SpecError, SwathError
from swath.protocol.messages import RunRequest
from swath.run_id import new_run_id
from swath.server.database.database import Connection, Database, Row
from swath.server.refusals import Conflict
from swath.server.run_rows import NewRun, cancel_run, insert_run
from swath.server.spec_text import read_spec
from swath.server.triggers.stored import StoredTrigger
from swath.triggers.firing_rules import SKIPPED, is_left_out, replaces, set_texts
from swath.triggers.trigger import AfterTrigger
from swath.triggers.values import Known, NothingBefore, filled

MOST_DEPTH = 20
"""So many runs may follow each other: triggers that fire each other in a circle come to an end."""
MOST_TICKS = 1000
"""Ticks of a trigger that are stored."""
LONGEST_TEXT = 2000


@dataclass(frozen=True)
class AskedFiring:
    """A run that a trigger asks for."""

    key: str
    due: float
    found: Mapping[str, Any] = field(default_factory=dict)
    not_before: float = 0.0
    """At once when not given."""
    expires: float | None = None
    depth: int = 0
    """So many runs were followed until this one."""
    known: bool = False
    """It was there before the trigger: it gets no run."""


class Firings:
    """Writes firings into the server's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fire(self, db: Connection, stored: StoredTrigger, asked: AskedFiring, now: float, why: str) -> bool:
        """Add a firing, unless there is one of its key, and begin it if it may begin. Returns whether it was added. why: in words."""
        unended = db.execute(
            "SELECT number, state, run_id FROM firings WHERE trigger_id = ? AND state <> 'ended'", (stored.id,)
        )
        state, status, text = "waiting", "", ""
        if asked.known:
            state, status = "ended", "known"
        elif asked.depth > MOST_DEPTH:
            state, status, text = "ended", "refused", f"more than {MOST_DEPTH} runs follow each other"
        elif is_left_out(stored.trigger.overlap, unended):
            state, status, text = "ended", "skipped", SKIPPED
        number = _next(db, stored.id, "firings")
        added = db.execute(
            "INSERT INTO firings (trigger_id, key, number, due, not_before, expires, made, found, depth, state, status, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trigger_id, key) DO NOTHING RETURNING key",
            (
                stored.id, asked.key, number, asked.due, asked.not_before or now, asked.expires, now,
                json.dumps(dict(asked.found)), asked.depth, state, status, text,
            ),
        )  # fmt: skip
        if not added:
            return False
        if asked.known:
            return True
        if state == "waiting" and replaces(stored.trigger.overlap):
            self._replace(db, stored, unended, asked.key, now)
        tick(
            db,
            stored.id,
            "fired" if state == "waiting" else "skipped",
            f"{why} {asked.key}{f': {text}' if text else ''}",
            now,
        )
        if state == "waiting" and (asked.not_before or now) <= now:
            self.begin_next(db, stored, now)
        return True

    def _replace(self, db: Connection, stored: StoredTrigger, unended: list[Row], key: str, now: float) -> None:
        for each in unended:
            if each["state"] == "waiting":
                end_firing(db, stored.id, each["number"], "replaced", f"by {key}")
                continue
            with contextlib.suppress(Conflict):  # it has ended meanwhile
                cancel_run(db, self._database, each["run_id"], f"replaced by {key} of the trigger {stored.name}", now)

    def begin_next(self, db: Connection, stored: StoredTrigger, now: float) -> str:
        """Give the oldest firing that waits its run, unless one goes on. Returns the run's id; empty when there is none to begin."""
        db.execute(
            "UPDATE firings SET state = 'ended', status = 'expired', text = 'it had not started in time (expires)'"
            " WHERE trigger_id = ? AND state = 'waiting' AND expires < ?",
            (stored.id, now),
        )
        while True:
            if db.execute("SELECT key FROM firings WHERE trigger_id = ? AND state = 'begun' LIMIT 1", (stored.id,)):
                return ""
            rows = db.execute(
                "SELECT key, number, due, found FROM firings WHERE trigger_id = ? AND state = 'waiting' AND"
                " not_before <= ? ORDER BY number LIMIT 1",
                (stored.id, now),
            )
            if not rows:
                return ""
            row = rows[0]
            try:
                run = self._begin(db, stored, row, now)
            except NothingBefore as error:
                end_firing(db, stored.id, row["number"], "skipped", error.message)
            except (SwathError, ValidationError) as error:
                end_firing(db, stored.id, row["number"], "refused", _words(error))
                tick(db, stored.id, "failed", f"{row['key']}: {_words(error)}", now)
            else:
                return run

    def _begin(self, db: Connection, stored: StoredTrigger, row: Row, now: float) -> str:
        trigger, text = stored.trigger, stored.row["spec"]
        values = filled(trigger.set, self._known(db, stored, row))
        spec = read_spec(text)
        request = RunRequest(
            project=stored.project, spec=text, set=tuple(set_texts(values)), labels=trigger.labels, timeout_s=trigger.timeout,
            runs_on=trigger.runs_on, ref=stored.row["commit_hash"] or None,
        )  # fmt: skip
        run = new_run_id(stored.name)
        who = f"trigger {stored.name}"
        insert_run(
            db, NewRun(run, stored.row["project_id"], spec.name or spec.pipeline, spec.pipeline, request, who), now
        )
        db.execute(
            "UPDATE firings SET state = 'begun', run_id = ? WHERE trigger_id = ? AND number = ?",
            (run, stored.id, row["number"]),
        )
        reached("firing")
        return run

    def _known(self, db: Connection, stored: StoredTrigger, row: Row) -> Known:
        trigger = stored.trigger
        done = "" if isinstance(trigger, AfterTrigger) else "AND status = 'done'"  # the run that is followed was done
        previous = trigger.wants_previous and db.execute(
            f"SELECT found FROM firings WHERE trigger_id = ? AND number < ? AND status <> 'known' {done}"
            " ORDER BY number DESC LIMIT 1",
            (stored.id, row["number"]),
        )
        return Known(
            stored.name, row["key"], datetime.fromtimestamp(row["due"], UTC), getattr(trigger, "zone", "UTC"),
            json.loads(row["found"]), json.loads(previous[0]["found"]) if previous else None,
        )  # fmt: skip


def end_firing(db: Connection, trigger: str, number: int, status: str, text: str) -> None:
    """A firing has ended."""
    db.execute(
        "UPDATE firings SET state = 'ended', status = ?, text = ? WHERE trigger_id = ? AND number = ?",
        (status, text[:LONGEST_TEXT], trigger, number),
    )


def pending_firings(db: Connection, trigger: str) -> int:
    """Number of firings that have not ended."""
    rows = db.execute("SELECT count(*) AS n FROM firings WHERE trigger_id = ? AND state <> 'ended'", (trigger,))
    found: int = rows[0]["n"]
    return found


def tick(db: Connection, trigger: str, outcome: str, text: str, now: float) -> None:
    """Store what came of a look or a due instant; the same again is counted."""
    text = text[:LONGEST_TEXT]
    last = db.execute(
        "SELECT number, outcome, text FROM ticks WHERE trigger_id = ? ORDER BY number DESC LIMIT 1", (trigger,)
    )
    if last and outcome != "fired" and (last[0]["outcome"], last[0]["text"]) == (outcome, text):
        db.execute(
            "UPDATE ticks SET at = ?, times = times + 1 WHERE trigger_id = ? AND number = ?",
            (now, trigger, last[0]["number"]),
        )
        return
    number = _next(db, trigger, "ticks")
    db.execute(
        "INSERT INTO ticks (trigger_id, number, first, at, times, outcome, text) VALUES (?, ?, ?, ?, 1, ?, ?)",
        (trigger, number, now, now, outcome, text),
    )
    db.execute("DELETE FROM ticks WHERE trigger_id = ? AND number <= ?", (trigger, number - MOST_TICKS))


def _next(db: Connection, trigger: str, counter: str) -> int:
    rows = db.execute(
        f"UPDATE triggers SET {counter} = {counter} + 1 WHERE id = ? RETURNING {counter} AS n", (trigger,)
    )
    found: int = rows[0]["n"]
    return found


def _words(error: SwathError | ValidationError) -> str:
    if isinstance(error, SpecError):
        return str(error)
    if isinstance(error, SwathError):
        return error.message
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
