"""Which triggers a project has: those of its swath.yaml, as an agent read them, and those that were made on the server."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from swath.protocol.triggers import ReportedTrigger
from swath.server.audit import record
from swath.server.database.database import Connection, Database, Row
from swath.server.refusals import Conflict, NotFound, Refusal
from swath.server.spec_text import read_spec
from swath.server.triggers.firings import tick
from swath.server.triggers.hook_signature import new_hook_key
from swath.server.triggers.scheduler import next_due
from swath.server.triggers.stored import StoredTrigger, find_trigger, locked_trigger, read_definition
from swath.triggers.firing_rules import fingerprint
from swath.triggers.trigger import HookTrigger, SensorSettings, ServerTrigger

MOST_TRIGGERS = 500
"""Of a project."""


@dataclass(frozen=True)
class _Definition:
    project: str
    name: str
    origin: str
    trigger: ServerTrigger
    definition: Mapping[str, Any]
    fingerprint: str
    spec: str
    commit: str = ""


class TriggerDefinitions:
    """Writes triggers into the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # --- of swath.yaml

    def take_report(self, db: Connection, project: str, commit: str, reported: Sequence[ReportedTrigger]) -> str:
        """The triggers of a project are these now, and no others from its swath.yaml. project: its id. Returns what is wrong with
        some of them, which stay as they were."""
        now, problems = self._clock(), []
        there = {
            row["name"]: row
            for row in db.execute("SELECT id, name, origin, fingerprint FROM triggers WHERE project = ?", (project,))
        }
        for each in reported:
            known = there.get(each.name)
            if known is not None and known["origin"] != "file":
                problems.append(f"{each.name}: there is a trigger of this name already, which was made on the server")
                continue
            try:
                trigger = read_definition(each.definition)
            except ValidationError as error:
                problems.append(f"{each.name}: {error.errors()[0]['msg']}")
                continue
            new = _Definition(project, each.name, "file", trigger, each.definition, each.fingerprint, each.spec, commit)
            self._put(db, new, known, now)
        names = {each.name for each in reported}
        for name, row in there.items():
            if row["origin"] == "file" and name not in names:
                remove_rows(db, row["id"])
        return "; ".join(problems)

    def _put(self, db: Connection, new: _Definition, known: Row | None, now: float) -> None:
        values = (new.trigger.kind, json.dumps(dict(new.definition)), new.fingerprint, new.spec, new.commit)
        due = next_due(new.trigger, now)
        if known is None:
            identity = secrets.token_hex(8)
            db.execute(
                "INSERT INTO triggers (id, project, name, origin, kind, definition, fingerprint, spec, commit_hash, considered,"
                " next_due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (identity, new.project, new.name, new.origin, *values, now, due),
            )
            self._look_after(db, identity, new, now)
            return
        db.execute(
            "UPDATE triggers SET kind = ?, definition = ?, fingerprint = ?, spec = ?, commit_hash = ? WHERE id = ?",
            (*values, known["id"]),
        )
        if known["fingerprint"] != new.fingerprint:  # nothing before now counts, and its sensor has not looked
            db.execute(
                "UPDATE triggers SET considered = ?, next_due = CASE WHEN paused = '' THEN CAST(? AS DOUBLE PRECISION) END,"
                " looked = NULL, look_cursor = 'null', missed = '' WHERE id = ?",
                (now, due, known["id"]),
            )
            self._look_after(db, known["id"], new, now)

    def _look_after(self, db: Connection, identity: str, new: _Definition, now: float) -> None:
        """A sensor looks at once; what another one of this name was looking at counts no more."""
        if isinstance(new.trigger, SensorSettings):
            db.execute(
                "INSERT INTO looks (id, project, trigger_id, due) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET due ="
                " excluded.due, fence = looks.fence + 1, agent = '', expires = 0",
                (identity, new.project, identity, now),
            )
        else:
            db.execute("DELETE FROM looks WHERE id = ?", (identity,))

    # --- made on the server

    def put(self, project: str, name: str, definition: Mapping[str, Any], spec: str, *, who: str) -> str:
        """Make a trigger, or change it. Returns the key of a new hook, which is told this once; else an empty text.

        Raises Refusal, SpecError; Conflict for one of swath.yaml.
        """
        if "sensor" in definition:
            raise Refusal(
                "sensors are written in the project's swath.yaml: agents look at what its code says, not at what the server says",
                status=422,
            )
        try:
            trigger = read_definition({"spec": "the server", **definition})
            written = trigger.model_dump(mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Refusal(f"{where}: {first['msg'].removeprefix('Value error, ')}", status=422) from None
        except (ValueError, RecursionError):
            raise Refusal("the values of `set` are too deep", status=422) from None
        read_spec(spec)
        now = self._clock()
        with self._database.transaction() as db:
            rows = db.execute("SELECT id FROM projects WHERE name = ?", (project,))
            if not rows:
                raise NotFound(f"there is no project {project!r} on this server")
            place = rows[0]["id"]
            known = db.execute(
                f"SELECT id, origin, fingerprint FROM triggers WHERE project = ? AND name = ? {self._database.for_update}",
                (place, name),
            )
            if known and known[0]["origin"] == "file":
                raise Conflict(f"{name} is in the project's swath.yaml", remedy="change it there, or give another name")
            count = db.execute("SELECT count(*) AS n FROM triggers WHERE project = ?", (place,))[0]["n"]
            if not known and count >= MOST_TRIGGERS:
                raise Refusal(f"a project has {MOST_TRIGGERS} triggers at most")
            new = _Definition(place, name, "server", trigger, written, fingerprint(trigger), spec)
            self._put(db, new, known[0] if known else None, now)
            record(db, now, who, "put trigger", f"{project}/{name}", {"definition": written})
            return self._new_key(db, place, name) if isinstance(trigger, HookTrigger) else ""

    def _new_key(self, db: Connection, project: str, name: str) -> str:
        key = new_hook_key()
        added = db.execute(
            "UPDATE triggers SET hook_key = ? WHERE project = ? AND name = ? AND hook_key = '' RETURNING id",
            (key, project, name),
        )
        return key if added else ""

    def remove(self, project: str, name: str, *, who: str) -> None:
        """Remove a trigger; runs that it asked for go on. Raises NotFound; Conflict for one of swath.yaml."""
        with self._database.transaction() as db:
            stored = find_trigger(db, project, name)
            if stored.from_file:
                raise Conflict(f"{name} is in the project's swath.yaml", remedy="remove it there, or pause it here")
            remove_rows(db, stored.id)
            record(db, self._clock(), who, "remove trigger", f"{project}/{name}", {})

    # --- pause

    def pause(self, project: str, name: str, *, who: str) -> None:
        """Fire a trigger no more until it is resumed. What waits already begins. Raises NotFound, Conflict."""
        now = self._clock()
        with self._database.transaction() as db:
            stored = self._locked(db, project, name)
            if stored.row["paused"]:
                raise Conflict(f"{name} is paused already")
            db.execute("UPDATE triggers SET paused = ?, next_due = NULL WHERE id = ?", (who, stored.id))
            tick(db, stored.id, "paused", f"by {who}", now)
            record(db, now, who, "pause trigger", f"{project}/{name}", {})

    def resume(self, project: str, name: str, missed: str, *, who: str) -> None:
        """Let a paused trigger go on: from now, or with what was missed (last, all). Raises NotFound, Conflict."""
        now = self._clock()
        with self._database.transaction() as db:
            stored = self._locked(db, project, name)
            if not stored.row["paused"]:
                raise Conflict(f"{name} is not paused")
            considered = now if missed == "skip" else stored.row["considered"]
            db.execute(
                "UPDATE triggers SET paused = '', considered = ?, next_due = ?, missed = ? WHERE id = ?",
                (considered, next_due(stored.trigger, considered), "" if missed == "skip" else missed, stored.id),
            )
            tick(db, stored.id, "resumed", f"by {who}", now)
            record(db, now, who, "resume trigger", f"{project}/{name}", {"missed": missed})

    def _locked(self, db: Connection, project: str, name: str) -> StoredTrigger:
        found = locked_trigger(db, self._database, find_trigger(db, project, name).id)
        if found is None:
            raise NotFound(f"there is no trigger {name!r} in the project {project!r}")
        return found


def remove_rows(db: Connection, trigger: str) -> None:
    """A trigger is gone, with all that was stored of it. Its runs stay."""
    db.execute("DELETE FROM looks WHERE id = ?", (trigger,))
    for table in ("firings", "ticks"):
        db.execute(f"DELETE FROM {table} WHERE trigger_id = ?", (trigger,))
    db.execute("DELETE FROM triggers WHERE id = ?", (trigger,))
