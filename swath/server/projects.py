"""Projects of the server: a name, and where their code is."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from swath.protocol.sources import read_source
from swath.server.audit import record
from swath.server.database.database import Database
from swath.server.refusals import NotFound, Refusal


class Projects:
    """Projects in the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def put(self, name: str, source: dict[str, Any], *, who: str) -> None:
        """Add a project, or change where its code is. Raises Refusal for a source that is none."""
        try:
            source = read_source(source).model_dump()
        except ValueError as error:
            raise Refusal(f"source: {error}") from None
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO projects (id, name, source, created) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET source = excluded.source",
                (secrets.token_hex(8), name, json.dumps(source), self._clock()),
            )
            record(db, self._clock(), who, "put project", name, {"source": source})

    def limit(self, name: str, key: str, most: int | None, *, who: str) -> None:
        """How many runs of one limit key go on at once in a project; None: any number. Raises NotFound."""
        with self._database.transaction() as db:
            rows = db.execute("SELECT id FROM projects WHERE name = ?", (name,))
            if not rows:
                raise NotFound(f"there is no project {name!r} on this server")
            db.execute("DELETE FROM limits WHERE project = ? AND name = ?", (rows[0]["id"], key))
            if most is not None:
                db.execute("INSERT INTO limits (project, name, most) VALUES (?, ?, ?)", (rows[0]["id"], key, most))
            record(db, self._clock(), who, "limit runs", name, {"key": key, "most": most})

    def all(self) -> list[dict[str, Any]]:
        """All projects by name."""
        with self._database.reading() as db:
            rows = db.execute("SELECT id, name, source FROM projects ORDER BY name")
            limits = db.execute("SELECT project, name, most FROM limits ORDER BY name")
        return [
            {
                "name": row["name"],
                "source": json.loads(row["source"]),
                "limits": {limit["name"]: limit["most"] for limit in limits if limit["project"] == row["id"]},
            }
            for row in rows
        ]
