"""Who asks: tokens with roles, kept as digests, and the record of what was done with them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from swath.protocol.messages import Role
from swath.protocol.tokens import new_token, token_digest, token_kind
from swath.server.audit import record
from swath.server.database.database import Connection, Database
from swath.server.refusals import Conflict, Forbidden, NotFound, Unauthorized

ROLES: tuple[str, ...] = get_args(Role)
"""From the least to the most."""
USED_EVERY_S = 60.0
"""How exactly the last use of a token is written down."""


@dataclass(frozen=True)
class Identity:
    """Who asks. Exactly one of user, agent and attempt."""

    kind: str
    """`user`, `agent` or `attempt`."""
    id: str
    """Of the token."""
    name: str
    role: str = "viewer"
    project: str | None = None
    """The only project that it may know of; None for all."""
    run: str = ""
    number: int = 0
    """Of an attempt."""

    def require(self, role: str, project: str | None = None) -> None:
        """Raise Forbidden unless it is a user with at least this role; NotFound for a project that it may not know of."""
        if self.kind != "user":
            raise Forbidden(f"a token of kind {self.kind} may not do this")
        if project is not None and self.project not in (None, project):
            raise NotFound(f"there is no project {project!r} on this server")
        if role == "admin" and self.project is not None:
            raise Forbidden(f"{self.name} is of {self.project} only: this is for admins of the server")
        if ROLES.index(self.role) < ROLES.index(role):
            raise Forbidden(f"{self.name} is {self.role}: this needs {role}", remedy="ask an admin of the server")

    def require_all_projects(self) -> None:
        """Raise Forbidden for what may know of one project only."""
        if self.project is not None:
            raise Forbidden(f"{self.name} is of {self.project} only: this is of all projects")


class Accounts:
    """Tokens in the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(
        self, kind: str, name: str, role: str, *, who: str, project: str | None = None, valid_s: float | None = None
    ) -> str:
        """A new token for a user or an agent. It is shown once: the database has its digest only.

        project: name of the only project that it is for. Raises NotFound when it is unknown, Conflict when the name is taken.
        """
        token = new_token(kind)
        with self._database.transaction() as db:
            place = None
            if project is not None:
                rows = db.execute("SELECT id FROM projects WHERE name = ?", (project,))
                if not rows:
                    raise NotFound(f"there is no project {project!r} on this server")
                place = rows[0]["id"]
            self._expire(db, name)
            if db.execute("SELECT id FROM tokens WHERE name = ? AND revoked IS NULL", (name,)):
                raise Conflict(f"there is a token {name!r} already", remedy="revoke it first, or give another name")
            self._insert(db, token, kind, name, role, place, valid_s)
            record(db, self._clock(), who, "create token", name, {"kind": kind, "role": role, "project": project})
        return token

    def create_first(self, name: str, write: Callable[[str], None], *, who: str) -> bool:
        """A token for an admin where nobody is admin of the server; of several servers that try, one does. Returns whether it did.

        write: gets the token before it counts, so that there is none that nobody knows.
        """
        token = new_token("user")
        with self._database.transaction() as db:
            if self._database.migration_lock:
                db.execute(self._database.migration_lock)
            if self._has_admin(db):
                return False
            db.execute("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL", (self._clock(), name))
            write(token)
            self._insert(db, token, "user", name, "admin", None, None)
            record(db, self._clock(), who, "create token", name, {"kind": "user", "role": "admin", "project": None})
        return True

    def _has_admin(self, db: Connection) -> bool:
        rows = db.execute(
            "SELECT id FROM tokens WHERE kind = 'user' AND role = 'admin' AND project IS NULL AND revoked IS NULL"
            " AND (expires IS NULL OR expires >= ?)",
            (self._clock(),),
        )
        return bool(rows)

    def _expire(self, db: Connection, name: str) -> None:
        """Let go of the name of a token that has expired."""
        now = self._clock()
        db.execute("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL AND expires < ?", (now, name, now))

    def _insert(
        self, db: Connection, token: str, kind: str, name: str, role: str, project: str | None, valid_s: float | None
    ) -> None:
        now = self._clock()
        db.execute(
            "INSERT INTO tokens (id, hash, kind, name, role, project, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                secrets.token_hex(8), token_digest(token), kind, name, role, project, now,
                None if valid_s is None else now + valid_s,
            ),
        )  # fmt: skip

    def revoke(self, name: str, *, who: str) -> None:
        """Make a token worthless. Raises NotFound when there is none of this name."""
        with self._database.transaction() as db:
            rows = db.execute(
                "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL RETURNING id", (self._clock(), name)
            )
            if not rows:
                raise NotFound(f"there is no token {name!r}")
            record(db, self._clock(), who, "revoke token", name, {})

    def tokens(self) -> list[dict[str, Any]]:
        """All tokens that are not revoked, without digests."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT tokens.name, kind, role, projects.name AS project, tokens.created, used, expires FROM tokens"
                " LEFT JOIN projects ON projects.id = tokens.project WHERE revoked IS NULL ORDER BY tokens.created"
            )
        return [dict(row) for row in rows]

    def identify(self, token: str) -> Identity:
        """Whose a token is. Raises Unauthorized."""
        kind = token_kind(token)
        if kind is None:
            raise Unauthorized("this is not a token of a swath server", remedy="`pipe login URL` stores one")
        digest = token_digest(token)
        if kind == "attempt":
            return self._attempt(digest)
        now = self._clock()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT tokens.id, kind, tokens.name, role, projects.name AS project, expires, used FROM tokens"
                " LEFT JOIN projects ON projects.id = tokens.project WHERE hash = ? AND revoked IS NULL",
                (digest,),
            )
        if not rows or rows[0]["kind"] != kind or (rows[0]["expires"] or now) < now:
            raise Unauthorized("the token is unknown, expired or revoked", remedy="`pipe login URL` stores another one")
        row = rows[0]
        if (row["used"] or 0) < now - USED_EVERY_S:
            with self._database.transaction() as db:
                db.execute("UPDATE tokens SET used = ? WHERE id = ?", (now, row["id"]))
        return Identity(kind, row["id"], row["name"], row["role"], row["project"])

    def check(self, identity: Identity) -> None:
        """Raise Unauthorized when a token has been revoked or has expired meanwhile."""
        with self._database.reading() as db:
            rows = db.execute("SELECT expires FROM tokens WHERE id = ? AND revoked IS NULL", (identity.id,))
        if not rows or (rows[0]["expires"] is not None and rows[0]["expires"] < self._clock()):
            raise Unauthorized("the token is expired or revoked")

    def _attempt(self, digest: str) -> Identity:
        with self._database.reading() as db:
            rows = db.execute("SELECT run, number FROM attempts WHERE token = ?", (digest,))
        if not rows:
            raise Unauthorized("the token of this attempt is unknown: another one has taken its place")
        run, number = rows[0]["run"], rows[0]["number"]
        return Identity("attempt", digest[:16], f"attempt {number} of {run}", run=run, number=number)
