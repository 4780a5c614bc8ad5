"""Tokens with roles, kept as digests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from swath.protocol.tokens import new_token, token_digest, token_kind
from swath.server.audit import record
from swath.server.database.database import Connection, Database, Row
from swath.server.identity import Identity, roles_of
from swath.server.refusals import Conflict, NotFound, Unauthorized
from swath.server.users import add_user

USED_EVERY_S = 60.0
"""How exactly the last use of a token is written down."""


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
            self._check_free(db, name)
            if db.execute("SELECT id FROM users WHERE name = ?", (name,)):
                raise Conflict(
                    f"there is a user {name!r}: the token's runs would be taken for theirs", remedy="give another name"
                )
            self._insert(db, token, kind, name, role, place, valid_s)
            record(db, self._clock(), who, "create token", name, {"kind": kind, "role": role, "project": project})
        return token

    def create_own(self, identity: Identity, name: str, valid_s: float | None = None, *, replace: bool = False) -> str:
        """A new token with which a person's programs may do what the person may. Raises Conflict when the name is taken.

        replace: the person's earlier token of this name becomes worthless.
        """
        token = new_token("user")
        with self._database.transaction() as db:
            if replace:
                db.execute(
                    "UPDATE tokens SET revoked = ? WHERE name = ? AND owner = ? AND revoked IS NULL",
                    (self._clock(), name, identity.user),
                )
            self._check_free(db, name)
            self._insert(db, token, "user", name, "", None, valid_s, identity.user)
            record(db, self._clock(), identity.name, "create token", name, {"kind": "user", "owner": identity.name})
        return token

    def _check_free(self, db: Connection, name: str) -> None:
        self._expire(db, name)
        if db.execute("SELECT id FROM tokens WHERE name = ? AND revoked IS NULL", (name,)):
            raise Conflict(f"there is a token {name!r} already", remedy="revoke it first, or give another name")

    def create_first(self, name: str, write: Callable[[str], None], *, who: str) -> bool:
        """A user who is admin, and a token of this user, where nobody has a token of an admin of the server; of several servers that
        try, one does. Returns whether it did.

        write: gets the token before it counts, so that there is none that nobody knows.
        """
        token = new_token("user")
        with self._database.transaction() as db:
            if self._database.migration_lock:
                db.execute(self._database.migration_lock)
            if self._has_admin(db):
                return False
            db.execute("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL", (self._clock(), name))
            users = db.execute("UPDATE users SET admin = 1, disabled = NULL WHERE name = ? RETURNING id", (name,))
            owner = users[0]["id"] if users else add_user(db, self._clock(), name, who=who, admin=True)
            write(token)
            self._insert(db, token, "user", name, "", None, None, owner)
            record(db, self._clock(), who, "create token", name, {"kind": "user", "owner": name})
        return True

    def _has_admin(self, db: Connection) -> bool:
        rows = db.execute(
            "SELECT tokens.id FROM tokens LEFT JOIN users ON users.id = owner WHERE kind = 'user' AND project IS NULL AND"
            " revoked IS NULL AND (expires IS NULL OR expires >= ?) AND (owner IS NULL AND role = 'admin' OR users.admin = 1"
            " AND disabled IS NULL)",
            (self._clock(),),
        )
        return bool(rows)

    def _expire(self, db: Connection, name: str) -> None:
        """Let go of the name of a token that has expired."""
        now = self._clock()
        db.execute("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL AND expires < ?", (now, name, now))

    def _insert(
        self,
        db: Connection,
        token: str,
        kind: str,
        name: str,
        role: str,
        project: str | None,
        valid_s: float | None,
        owner: str | None = None,
    ) -> None:
        now = self._clock()
        db.execute(
            "INSERT INTO tokens (id, hash, kind, name, role, project, created, expires, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                secrets.token_hex(8), token_digest(token), kind, name, role, project, now,
                None if valid_s is None else now + valid_s, owner,
            ),
        )  # fmt: skip

    def revoke(self, name: str, *, who: str, owner: str | None = None) -> None:
        """Make a token worthless. owner: id of the only user whose token it may be. Raises NotFound when there is none of this name."""
        with self._database.transaction() as db:
            rows = db.execute(
                "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL"
                f"{' AND owner = ?' if owner else ''} RETURNING id",
                (self._clock(), name, *([owner] if owner else [])),
            )
            if not rows:
                raise NotFound(f"there is no token {name!r}")
            record(db, self._clock(), who, "revoke token", name, {})

    def tokens(self, owner: str | None = None) -> list[dict[str, Any]]:
        """All tokens that are not revoked, without digests. owner: id of the only user whose tokens are meant."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT tokens.name, kind, role, projects.name AS project, users.name AS owner, tokens.created, used, expires FROM"
                " tokens LEFT JOIN projects ON projects.id = tokens.project LEFT JOIN users ON users.id = owner"
                f" WHERE revoked IS NULL{' AND owner = ?' if owner else ''} ORDER BY tokens.created",
                (owner,) if owner else (),
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
        found, row = self._find("hash = ?", digest)
        if found.kind != kind:
            raise Unauthorized("the token is of another kind")
        now = self._clock()
        if (row["used"] or 0) < now - USED_EVERY_S:
            with self._database.transaction() as db:
                db.execute("UPDATE tokens SET used = ? WHERE id = ?", (now, row["id"]))
        return found

    def check(self, identity: Identity) -> Identity:
        """The same with today's roles. Raises Unauthorized when the token has been revoked or has expired meanwhile."""
        return self._find("tokens.id = ?", identity.id)[0]

    def _find(self, where: str, value: str) -> tuple[Identity, Row]:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT tokens.id, kind, tokens.name, role, projects.name AS project, expires, used, owner, users.name AS person,"
                " users.admin, disabled FROM tokens LEFT JOIN projects ON projects.id = tokens.project LEFT JOIN users ON"
                f" users.id = owner WHERE {where} AND revoked IS NULL",
                (value,),
            )
            row = rows[0] if rows else None
            if row is None or row["disabled"] or (row["expires"] is not None and row["expires"] < self._clock()):
                raise Unauthorized(
                    "the token is unknown, expired or revoked", remedy="`pipe login URL` stores another one"
                )
            if row["owner"] is not None:
                roles = roles_of(db, row["owner"])
                role = "admin" if row["admin"] else ""
                return Identity(
                    row["kind"], row["id"], row["person"], role, roles, user=row["owner"], token=row["name"]
                ), row
        if row["project"] is not None:
            return Identity(
                row["kind"], row["id"], row["name"], roles={row["project"]: row["role"]}, token=row["name"]
            ), row
        return Identity(row["kind"], row["id"], row["name"], row["role"], token=row["name"]), row

    def _attempt(self, digest: str) -> Identity:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT run, number FROM attempts WHERE token = ? OR (launch_token = ? AND started IS NULL)",
                (digest, digest),
            )
        if not rows:
            raise Unauthorized("the token of this attempt is unknown: another one has taken its place")
        run, number = rows[0]["run"], rows[0]["number"]
        return Identity("attempt", digest[:16], f"attempt {number} of {run}", run=run, number=number)
