"""Agents that are registered with the server."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection

from swath.protocol.messages import AgentInfo, AgentRegistration
from swath.server.audit import record
from swath.server.database.database import Database
from swath.server.identity import Identity
from swath.server.labels import with_launchers, without_launchers
from swath.server.refusals import Conflict, NotFound

ALIVE_S = 60.0
"""An agent that was not heard of for so long is taken for gone."""


class Agents:
    """Agents in the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def register(self, registration: AgentRegistration, identity: Identity) -> str:
        """Add an agent, or take one up whose process is new. Returns its id. The process before it is told to end by `seen`.

        Raises Conflict when another token registered this name.
        """
        now = self._clock()
        with self._database.transaction() as db:
            rows = db.execute("SELECT id, token FROM agents WHERE name = ?", (registration.name,))
            if rows and rows[0]["token"] != identity.id:
                valid = db.execute(
                    "SELECT id FROM tokens WHERE id = ? AND revoked IS NULL AND (expires IS NULL OR expires >= ?)",
                    (rows[0]["token"], now),
                )
                if valid:
                    raise Conflict(
                        f"an agent {registration.name!r} is registered with another token",
                        remedy="give it another name",
                    )
            agent = rows[0]["id"] if rows else secrets.token_hex(8)
            db.execute(
                "INSERT INTO agents (id, name, token, labels, slots, version, session, registered, seen, accepts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET token = excluded.token, labels ="
                " excluded.labels, slots = excluded.slots, version = excluded.version, session = excluded.session,"
                " registered = excluded.registered, seen = excluded.seen, accepts = excluded.accepts",
                (
                    agent, registration.name, identity.id, with_launchers(registration.labels, registration.launchers),
                    registration.slots,
                    registration.version, registration.session, now, now, json.dumps(registration.accepts),
                ),
            )  # fmt: skip
        return agent

    def seen(self, agent: str, session: str, identity: Identity) -> None:
        """An agent was heard of. Raises NotFound for one of another token, Conflict when a newer process has its name."""
        with self._database.transaction() as db:
            rows = db.execute("SELECT name, session FROM agents WHERE id = ? AND token = ?", (agent, identity.id))
            if not rows:
                raise NotFound("there is no such agent")
            if rows[0]["session"] != session:
                raise Conflict(f"another process has registered as the agent {rows[0]['name']!r}; this one ends")
            db.execute("UPDATE agents SET seen = ? WHERE id = ?", (self._clock(), agent))

    def owned(self, agent: str, identity: Identity) -> None:
        """Raise NotFound unless the agent is this token's."""
        with self._database.reading() as db:
            if not db.execute("SELECT id FROM agents WHERE id = ? AND token = ?", (agent, identity.id)):
                raise NotFound("there is no such agent")

    def all(self, projects: Collection[str] | None = None) -> list[AgentInfo]:
        """All agents, the last heard of first. projects: only those that take runs of one of these."""
        now = self._clock()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT agents.id, agents.name, labels, slots, version, seen, paused, accepts, projects.name AS project, (SELECT"
                " count(*) FROM attempts WHERE agent = agents.id AND ended IS NULL) AS busy FROM agents JOIN tokens ON tokens.id ="
                " agents.token LEFT JOIN projects ON projects.id = tokens.project ORDER BY seen DESC, agents.name"
            )
        return [
            AgentInfo(
                id=row["id"], name=row["name"], **_labels(row["labels"]),
                slots=row["slots"], busy=row["busy"], version=row["version"], seen_s=max(0.0, now - row["seen"]),
                paused=bool(row["paused"]), project=row["project"], accepts=tuple(json.loads(row["accepts"])),
            )
            for row in rows
            if projects is None or row["project"] is None or row["project"] in projects
        ]  # fmt: skip

    def pause(self, name: str, *, paused: bool, who: str) -> None:
        """Let an agent claim no more runs, or let it go on. Raises NotFound when there is none of this name."""
        with self._database.transaction() as db:
            if not db.execute("UPDATE agents SET paused = ? WHERE name = ? RETURNING id", (int(paused), name)):
                raise NotFound(f"there is no agent {name!r}", remedy="`pipe agents` lists them")
            record(db, self._clock(), who, "pause agent" if paused else "unpause agent", name, {})


def _labels(text: str) -> dict[str, tuple[str, ...]]:
    labels, launchers = without_launchers(text)
    return {"labels": labels, "launchers": launchers}
