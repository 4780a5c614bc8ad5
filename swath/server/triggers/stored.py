"""Triggers as they are stored, and how they are read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from swath.server.database.database import Connection, Database, Row
from swath.server.refusals import NotFound
from swath.triggers.firing_rules import SCHEDULE_CLASSES
from swath.triggers.trigger import SensorSettings, ServerTrigger

COLUMNS = (
    "triggers.id, project AS project_id, projects.name AS project, projects.source, triggers.name, kind, origin, definition,"
    " fingerprint, spec, commit_hash, considered, next_due, looked, look_cursor, paused, missed, hook_key"
)
FROM = "FROM triggers JOIN projects ON projects.id = triggers.project"
_TRIGGER: TypeAdapter[ServerTrigger] = TypeAdapter(ServerTrigger)


@dataclass(frozen=True)
class StoredTrigger:
    """One trigger of the server's database."""

    row: Row

    @property
    def id(self) -> str:
        found: str = self.row["id"]
        return found

    @property
    def name(self) -> str:
        found: str = self.row["name"]
        return found

    @property
    def project(self) -> str:
        """Name of its project."""
        found: str = self.row["project"]
        return found

    @property
    def from_file(self) -> bool:
        """Whether it is in its project's swath.yaml."""
        return bool(self.row["origin"] == "file")

    @property
    def in_git(self) -> bool:
        """Whether its project's code is in a git repository."""
        return "git" in json.loads(self.row["source"])

    @cached_property
    def trigger(self) -> ServerTrigger:
        """What it is."""
        return read_definition(json.loads(self.row["definition"]))

    @property
    def is_readable(self) -> bool:
        """Whether this version of swath can read it."""
        try:
            return self.trigger is not None
        except ValidationError:
            return False

    @property
    def is_schedule(self) -> bool:
        return isinstance(self.trigger, SCHEDULE_CLASSES)

    @property
    def is_sensor(self) -> bool:
        return isinstance(self.trigger, SensorSettings)


def read_definition(definition: dict[str, Any]) -> ServerTrigger:
    """A definition as a trigger. Raises pydantic's ValidationError."""
    return _TRIGGER.validate_python(definition)


def find_trigger(db: Connection, project: str, name: str) -> StoredTrigger:
    """A trigger by the names of its project and its own. Raises NotFound."""
    rows = db.execute(f"SELECT {COLUMNS} {FROM} WHERE projects.name = ? AND triggers.name = ?", (project, name))
    if not rows:
        raise NotFound(f"there is no trigger {name!r} in the project {project!r}", remedy="`pipe trigger ls --server`")
    return StoredTrigger(rows[0])


def locked_trigger(db: Connection, database: Database, trigger: str) -> StoredTrigger | None:
    """A trigger by its id, as it stays until the transaction ends; None when it was removed meanwhile."""
    if not db.execute(f"SELECT id FROM triggers WHERE id = ? {database.for_update}", (trigger,)):
        return None
    return StoredTrigger(db.execute(f"SELECT {COLUMNS} {FROM} WHERE triggers.id = ?", (trigger,))[0])
