"""Triggers as they are shown: what is next, what came of the last, and why nothing was started."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from swath.protocol.triggers import FiringInfo, TickInfo, TriggerDetail, TriggerInfo, TriggerPage
from swath.server.agents import ALIVE_S
from swath.server.database.database import Connection, Database, Row
from swath.server.triggers.firings import pending_firings
from swath.server.triggers.stored import COLUMNS, FROM, StoredTrigger, find_trigger
from swath.triggers.schedule import next_instants
from swath.triggers.trigger import CronTrigger, EveryTrigger, ServerTrigger
from swath.triggers.words import trigger_words

SHOWN = 20
"""Firings and ticks of one trigger that are shown."""
INSTANTS = 5
UNREADABLE = "nothing that this version of swath can read: write it again"


class TriggerLists:
    """Reads triggers of the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def all(self, project: str) -> TriggerPage:
        """The triggers of a project by their names."""
        with self._database.reading() as db:
            rows = db.execute(f"SELECT {COLUMNS} {FROM} WHERE projects.name = ? ORDER BY triggers.name", (project,))
            looks = db.execute(
                "SELECT done, problem FROM looks JOIN projects ON looks.id = projects.id WHERE projects.name = ?",
                (project,),
            )
            found = tuple(self._info(db, StoredTrigger(row)) for row in rows)
        return TriggerPage(
            triggers=found, read=looks[0]["done"] if looks else None, problem=looks[0]["problem"] if looks else ""
        )

    def everywhere(self, projects: Collection[str] | None) -> dict[str, TriggerPage]:
        """The triggers of all projects that the reader may know of, by the project's name."""
        with self._database.reading() as db:
            names = [row["name"] for row in db.execute("SELECT name FROM projects ORDER BY name")]
        return {name: self.all(name) for name in names if projects is None or name in projects}

    def one(self, project: str, name: str) -> TriggerDetail:
        """One trigger with its newest firings and ticks. Raises NotFound."""
        with self._database.reading() as db:
            stored = find_trigger(db, project, name)
            firings = db.execute(
                "SELECT key, due, made, state, run_id AS run, status, text, found FROM firings WHERE trigger_id = ? AND status <>"
                " 'known' ORDER BY number DESC LIMIT ?",
                (stored.id, SHOWN),
            )
            return TriggerDetail(
                trigger=self._info(db, stored),
                definition=json.loads(stored.row["definition"]),
                firings=tuple(FiringInfo(**{**row, "found": json.loads(row["found"])}) for row in firings),
                ticks=tuple(TickInfo(**row) for row in _ticks(db, stored.id, SHOWN)),
            )

    def _info(self, db: Connection, stored: StoredTrigger) -> TriggerInfo:
        row, trigger = stored.row, stored.trigger if stored.is_readable else None
        ticks = _ticks(db, stored.id, 1)
        runs = db.execute(
            "SELECT run_id FROM firings WHERE trigger_id = ? AND run_id <> '' ORDER BY number DESC LIMIT 1",
            (stored.id,),
        )
        look = db.execute("SELECT due, agent, expires FROM looks WHERE id = ?", (stored.id,))
        return TriggerInfo(
            project=stored.project, name=stored.name, kind=row["kind"], origin=row["origin"],
            what=UNREADABLE if trigger is None else trigger_words(trigger), spec="-" if trigger is None else str(trigger.spec),
            commit=row["commit_hash"], paused=row["paused"], next=self._next(stored, trigger, look[0] if look else None),
            zone=getattr(trigger, "zone", "UTC"), pending=pending_firings(db, stored.id),
            last=TickInfo(**ticks[0]) if ticks else None, last_run=runs[0]["run_id"] if runs else "",
            waits_for=self._waits_for(db, stored, look[0] if look else None),
        )  # fmt: skip

    def _next(self, stored: StoredTrigger, trigger: ServerTrigger | None, look: Row | None) -> tuple[float, ...]:
        if stored.row["paused"]:
            return ()
        if look is not None:
            return (max(look["due"], self._clock()),)
        if not isinstance(trigger, CronTrigger | EveryTrigger):
            return ()
        start = datetime.fromtimestamp(self._clock(), UTC)
        return tuple(moment.timestamp() for moment in next_instants(trigger.schedule(), start, INSTANTS))

    def _waits_for(self, db: Connection, stored: StoredTrigger, look: Row | None) -> str:
        """Why nothing happens, beside what the last tick says."""
        if stored.row["paused"]:
            return f"paused by {stored.row['paused']}"
        if look is None or look["agent"] or look["due"] > self._clock() - ALIVE_S:
            return ""
        labels = stored.trigger.labels if stored.is_readable else ()
        return "no connected agent looks: it needs one with the project's code" + (
            f" and the labels {', '.join(labels)}" if labels else ""
        )


def _ticks(db: Connection, trigger: str, limit: int) -> list[Row]:
    return db.execute(
        "SELECT first, at, times, outcome, text FROM ticks WHERE trigger_id = ? ORDER BY number DESC LIMIT ?",
        (trigger, limit),
    )
