"""Looks: what agents see for the server, which sees no code and calls nobody. One agent at a time has one, under a number, the fence.

A look is made at least once: one whose agent is silent, or is another process now, is given to the next agent. What it finds is stored
together with its cursor and the runs, and each key gets one run, so an answer that comes twice, or late, changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence

from swath.crashpoint import reached
from swath.protocol.sources import accepts
from swath.protocol.triggers import FoundThing, LookAnswer, LookWork, TriggersRead
from swath.server.agents import ALIVE_S
from swath.server.database.database import Connection, Database, Row
from swath.server.labels import split
from swath.server.refusals import Conflict, NotFound
from swath.server.triggers.definitions import TriggerDefinitions
from swath.server.triggers.firings import AskedFiring, Firings, pending_firings, tick
from swath.server.triggers.stored import StoredTrigger, locked_trigger
from swath.triggers.trigger import SensorSettings

PROJECT_S = 60.0
"""How often a project's swath.yaml is read."""
MARGIN_S = 60.0
"""How much longer than its limit a look may take, for the code and the answer."""
PROJECT_LIMIT_S = 900.0
"""How long the reading of a project may take: its code may have to be fetched."""
CHUNK = 200
AT_ONCE = 100
"""Looks that are read at once."""


class Looks:
    """Looks in the server's database."""

    def __init__(
        self,
        database: Database,
        definitions: TriggerDefinitions,
        firings: Firings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._firings = firings
        self._clock = clock

    # --- what is to be looked at

    def claim(self, agent: str, session: str, without: Collection[str] = ()) -> LookWork | None:
        """Something that an agent is to look at now; None when there is nothing. without: names of projects that it does not have."""
        self._add_projects()
        for row in self._due(agent, without):
            with self._database.transaction() as db:
                if (work := self._take(db, row["id"], agent, session)) is not None:
                    return work
        return None

    def _add_projects(self) -> None:
        """Every project has its triggers read."""
        missing = "SELECT id FROM projects WHERE NOT EXISTS (SELECT 1 FROM looks WHERE looks.id = projects.id)"
        with self._database.reading() as db:
            if not db.execute(f"{missing} LIMIT 1"):
                return
        with self._database.transaction() as db:
            for row in db.execute(missing):
                db.execute(
                    "INSERT INTO looks (id, project, due) VALUES (?, ?, 0) ON CONFLICT (id) DO NOTHING",
                    (row["id"], row["id"]),
                )

    def _due(self, agent: str, without: Collection[str]) -> list[Row]:
        """Looks that the agent may make, those that are due for the longest time first: some of them, where they are many. Those that
        nobody can make are passed over, however many they are."""
        with self._database.reading() as db:
            about = db.execute(
                "SELECT labels, paused, accepts, tokens.project FROM agents JOIN tokens ON tokens.id = agents.token WHERE"
                " agents.id = ?",
                (agent,),
            )[0]
            if about["paused"]:
                return []
            now, due, last = self._clock(), -1.0, ""
            while rows := db.execute(_DUE, (now, due, due, last, now, now - ALIVE_S, AT_ONCE)):
                if found := [row for row in rows if row["name"] not in without and _may_look(about, row)]:
                    return found
                due, last = rows[-1]["due"], rows[-1]["id"]
        return []

    def _take(self, db: Connection, look: str, agent: str, session: str) -> LookWork | None:
        now = self._clock()
        rows = db.execute(
            "SELECT looks.id, looks.trigger_id, looks.digest, projects.name, projects.source FROM looks JOIN projects ON"
            f" projects.id = looks.project WHERE looks.id = ? {self._database.for_update}",
            (look,),
        )
        if not rows:
            return None
        row = rows[0]
        stored = locked_trigger(db, self._database, row["trigger_id"]) if row["trigger_id"] else None
        if row["trigger_id"] and not self._wanted(db, stored, look, now):
            return None
        limit_s = PROJECT_LIMIT_S if stored is None else float(_sensor(stored).limit) + MARGIN_S
        taken = db.execute(
            "UPDATE looks SET fence = fence + 1, agent = ?, session = ?, expires = ? WHERE id = ? AND due <= ? AND (agent = '' OR"
            " expires < ? OR NOT EXISTS (SELECT 1 FROM agents WHERE agents.id = looks.agent AND agents.session = looks.session AND"
            " agents.seen >= ?)) RETURNING fence",
            (agent, session, now + limit_s, look, now, now, now - ALIVE_S),
        )
        if not taken:
            return None
        return LookWork(
            id=look, fence=taken[0]["fence"], project=row["name"], source=json.loads(row["source"]),
            trigger=stored.name if stored else "", commit=stored.row["commit_hash"] if stored else "", digest=row["digest"],
            cursor=json.loads(stored.row["look_cursor"]) if stored else None,
        )  # fmt: skip

    def _wanted(self, db: Connection, stored: StoredTrigger | None, look: str, now: float) -> bool:
        """Whether a sensor is to look: not while too many of its runs have not ended."""
        if stored is None or stored.row["paused"] or not stored.is_readable or not stored.is_sensor:
            db.execute("UPDATE looks SET due = ? WHERE id = ?", (now + PROJECT_S, look))
            return False
        sensor = _sensor(stored)
        pending = pending_firings(db, stored.id)
        if pending >= sensor.pending:
            db.execute("UPDATE looks SET due = ? WHERE id = ?", (now + sensor.every, look))
            tick(db, stored.id, "waiting", f"{pending} runs have not ended (pending: {sensor.pending})", now)
            return False
        return True

    # --- answers

    def read(self, look: str, agent: str, told: TriggersRead) -> None:
        """What an agent read of a project. Raises Conflict when the look is not the agent's any more."""
        with self._database.transaction() as db:
            row = self._current(db, look, agent, told.session, told.fence)
            if row["trigger_id"]:
                raise NotFound("there is no such look")
            now, problem, digest = self._clock(), told.error, row["digest"]
            if told.triggers is not None and not told.error:
                problem = self._definitions.take_report(db, row["project"], told.commit, told.triggers)
                digest = "" if problem else told.digest  # with a problem they are read again
            elif not told.error:
                problem = row["problem"]
            db.execute(
                "UPDATE looks SET due = ?, agent = '', expires = 0, digest = ?, done = ?, problem = ? WHERE id = ?",
                (now + PROJECT_S, digest, now, problem[:2000], look),
            )

    def answer(self, look: str, agent: str, told: LookAnswer) -> int:
        """Store what a look found: its runs, its cursor and what came of it, all or nothing. Returns how many firings are new.

        Raises Conflict when the look is not the agent's any more.
        """
        with self._database.transaction() as db:
            row = self._current(db, look, agent, told.session, told.fence)
            stored = locked_trigger(db, self._database, row["trigger_id"]) if row["trigger_id"] else None
            if stored is None:
                raise NotFound("there is no such look")
            now, sensor = self._clock(), _sensor(stored)
            if told.error:
                tick(db, stored.id, "failed", told.error, now)
                self._done(db, look, now + sensor.every)
                return 0
            baseline = stored.row["looked"] is None and sensor.existing == "skip"
            fired = self._fire(db, stored, sensor, told.found, now, known=baseline)
            reached("looked")
            if told.more:
                return fired
            db.execute(
                "UPDATE triggers SET looked = ?, look_cursor = ? WHERE id = ?",
                (now, json.dumps(told.cursor), stored.id),
            )
            self._done(db, look, now + sensor.every)
            if baseline:
                tick(db, stored.id, "nothing", f"first look: what is there already gets no run; {told.text}", now)
            elif not fired:
                tick(db, stored.id, "nothing", f"nothing new; {told.text}", now)
            return fired

    def _fire(
        self,
        db: Connection,
        stored: StoredTrigger,
        sensor: SensorSettings,
        found: Sequence[FoundThing],
        now: float,
        *,
        known: bool,
    ) -> int:
        fired = 0
        expires = None if sensor.expires is None else now + sensor.expires
        old = _known_keys(db, stored.id, [each.key for each in found])
        for each in found:
            if each.key not in old and each.key.isprintable():
                asked = AskedFiring(each.key, now, each.values, expires=expires, known=known)
                fired += self._firings.fire(db, stored, asked, now, "found")
        return fired

    def _done(self, db: Connection, look: str, due: float) -> None:
        db.execute(
            "UPDATE looks SET due = ?, agent = '', expires = 0, done = ? WHERE id = ?", (due, self._clock(), look)
        )

    def _current(self, db: Connection, look: str, agent: str, session: str, fence: int) -> Row:
        rows = db.execute(
            "SELECT project, trigger_id, fence, agent, session, digest, problem FROM looks WHERE id = ?"
            f" {self._database.for_update}",
            (look,),
        )
        if not rows:
            raise Conflict("what was looked at is not there any more")
        if (rows[0]["fence"], rows[0]["agent"], rows[0]["session"]) != (fence, agent, session):
            raise Conflict("this look was given to another agent, or was answered already")
        return rows[0]


_FREE = (
    "(looks.agent = '' OR looks.expires < ? OR agents.id IS NULL OR agents.session <> looks.session OR agents.seen < ?)"
)
_DUE = (
    "SELECT looks.id, looks.due, looks.project, projects.name, projects.source, triggers.definition FROM looks JOIN projects ON"
    " projects.id = looks.project LEFT JOIN triggers ON triggers.id = looks.trigger_id LEFT JOIN agents ON agents.id ="
    " looks.agent WHERE looks.due <= ? AND (looks.due > ? OR (looks.due = ? AND looks.id > ?)) AND"
    f" {_FREE} AND coalesce(triggers.paused, '') = '' ORDER BY looks.due, looks.id LIMIT ?"
)


def _may_look(about: Row, row: Row) -> bool:
    """Whether an agent has the project, the code and the labels of a look."""
    repository = json.loads(row["source"]).get("git")
    wanted = json.loads(row["definition"]).get("labels", ()) if row["definition"] else ()
    return (
        about["project"] in (None, row["project"])
        and (repository is None or accepts(json.loads(about["accepts"]), repository))
        and set(split(about["labels"])).issuperset(wanted)
    )


def _sensor(stored: StoredTrigger) -> SensorSettings:
    assert isinstance(stored.trigger, SensorSettings), "only sensors have looks"
    return stored.trigger


def _known_keys(db: Connection, trigger: str, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for first in range(0, len(keys), CHUNK):
        part = keys[first : first + CHUNK]
        rows = db.execute(
            f"SELECT key FROM firings WHERE trigger_id = ? AND key IN ({', '.join('?' * len(part))})", (trigger, *part)
        )
        known.update(row["key"] for row in rows)
    return known
