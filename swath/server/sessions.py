"""Sessions of people in browsers: a random word in a cookie, its digest in the database."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swath.server.database.database import Connection, Database
from swath.server.identity import Identity, roles_of
from swath.server.refusals import Unauthorized

SEEN_EVERY_S = 60.0
"""How exactly the last use of a session is written down."""


@dataclass(frozen=True)
class SessionLimits:
    """How long a session is good for."""

    idle_s: float = 12 * 3600
    """Without a request."""
    most_s: float = 30 * 86400
    """Whatever is asked."""


class Sessions:
    """Sessions in the server's database."""

    def __init__(
        self, database: Database, limits: SessionLimits = SessionLimits(), clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self.limits = limits
        self._clock = clock

    def create(self, db: Connection, user: str, by: str) -> str:
        """A new session of a user: the secret for the cookie. by: `password`, `link` or `oidc`. Those that are over are removed."""
        now, secret = self._clock(), secrets.token_hex(32)
        db.execute("DELETE FROM sessions WHERE expires < ? OR seen < ?", (now, now - self.limits.idle_s))
        db.execute(
            "INSERT INTO sessions (hash, person, signed_in_by, created, seen, expires) VALUES (?, ?, ?, ?, ?, ?)",
            (_digest(secret), user, by, now, now, now + self.limits.most_s),
        )
        return secret

    def find(self, secret: str) -> Identity:
        """Whose session it is. Raises Unauthorized."""
        return self._find(_digest(secret))

    def check(self, identity: Identity) -> Identity:
        """The same with today's roles. Raises Unauthorized when the session has ended meanwhile."""
        return self._find(identity.session)

    def _find(self, digest: str) -> Identity:
        now = self._clock()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT person, seen, name, admin FROM sessions JOIN users ON users.id = person WHERE hash = ? AND expires >= ?"
                " AND seen >= ? AND disabled IS NULL",
                (digest, now, now - self.limits.idle_s),
            )
            if not rows:
                raise Unauthorized("the session has ended", remedy="sign in again")
            row = rows[0]
            roles = roles_of(db, row["person"])
        if row["seen"] < now - SEEN_EVERY_S:
            with self._database.transaction() as db:
                db.execute("UPDATE sessions SET seen = ? WHERE hash = ?", (now, digest))
        return Identity(
            "user", digest[:16], row["name"], "admin" if row["admin"] else "", roles, user=row["person"], session=digest
        )

    def of(self, identity: Identity) -> list[dict[str, Any]]:
        """All sessions of a person, the newest first."""
        now = self._clock()
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT hash, signed_in_by, created, seen, expires FROM sessions WHERE person = ? AND expires >= ? AND seen >= ?"
                " ORDER BY created DESC",
                (identity.user, now, now - self.limits.idle_s),
            )
        return [
            {
                "current": row["hash"] == identity.session, "by": row["signed_in_by"], "created": row["created"],
                "seen": row["seen"], "expires": row["expires"],
            }
            for row in rows
        ]  # fmt: skip

    def signed_in_by_link(self, identity: Identity) -> bool:
        """Whether it is a session that began with a one-time link."""
        with self._database.reading() as db:
            rows = db.execute("SELECT signed_in_by FROM sessions WHERE hash = ?", (identity.session,))
        return bool(rows) and rows[0]["signed_in_by"] == "link"

    def end(self, identity: Identity) -> None:
        """Sign out."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM sessions WHERE hash = ?", (identity.session,))

    def forget(self, secret: str) -> None:
        """End the session with this secret, if there is one."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM sessions WHERE hash = ?", (_digest(secret),))

    def end_all(self, identity: Identity) -> None:
        """Sign out everywhere."""
        with self._database.transaction() as db:
            end_sessions(db, identity.user)


def end_sessions(db: Connection, user: str, but: str = "") -> None:
    """End all sessions of a user, but the one with this digest."""
    db.execute("DELETE FROM sessions WHERE person = ? AND hash <> ?", (user, but))


def csrf_word(secret: str) -> str:
    """What a page sends back with a change, so that it is known to come from a page of this server: nobody can tell it without the
    session's secret, and it does not tell that one."""
    return hashlib.sha256(f"csrf {secret}".encode()).hexdigest()[:40]


def _digest(secret: str) -> str:
    """What the server stores of a session. The secret has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
