"""Signing in: with a password, or with a link that works once."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable

from swath.protocol.tokens import new_token, token_digest, token_kind
from swath.server.audit import record
from swath.server.database.database import Connection, Database
from swath.server.passwords import verify_password
from swath.server.rate_limit import Rate, RateLimit
from swath.server.refusals import NotFound, TooMany, Unauthorized
from swath.server.sessions import Sessions

LINK_S = 24 * 3600.0
"""How long a sign-in link is good for."""
PER_ADDRESS = Rate(per_s=5 / 60, burst=5)
PER_USER = Rate(per_s=10 / 60, burst=10)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WRONG = "the name or the password is wrong"
"""The same for a name that does not exist, one without a password and one that is disabled."""


class SignIn:
    """Makes sessions. Its limits are of this process."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        clock: Callable[[], float] = time.time,
        per_address: Rate = PER_ADDRESS,
        per_user: Rate = PER_USER,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._clock = clock
        self._addresses = RateLimit(per_address)
        self._names = RateLimit(per_user)

    def allow(self, name: str, address: str) -> None:
        """Count one try to sign in. Raises TooMany. For one event loop; `with_password` is for threads."""
        try:
            self._addresses.take(network(address))
            self._names.take(name.casefold()[:100])
        except TooMany:
            raise TooMany("too many tries to sign in", remedy="wait a minute, then try again") from None

    def with_password(self, name: str, password: str) -> str:
        """The secret of a new session. Raises Unauthorized, with the same words after the same time whatever is wrong."""
        rows = []
        if _NAME.fullmatch(name):
            with self._database.reading() as db:
                rows = db.execute("SELECT id, password FROM users WHERE name = ? AND disabled IS NULL", (name,))
        stored = rows[0]["password"] if rows else None
        if not verify_password(stored, password):
            raise Unauthorized(_WRONG, remedy="an admin of the server makes a new sign-in link")
        with self._database.transaction() as db:
            # Only with the password that was verified: it may have been changed meanwhile.
            row = db.execute(
                "SELECT id FROM users WHERE id = ? AND password = ? AND disabled IS NULL", (rows[0]["id"], stored)
            )
            if not row:
                raise Unauthorized(_WRONG, remedy="an admin of the server makes a new sign-in link")
            record(db, self._clock(), name, "sign in", name, {"by": "password"})
            return self._sessions.create(db, row[0]["id"], "password")

    def with_link(self, link: str) -> str:
        """The secret of a new session for the word of a link. A link works once. Raises Unauthorized."""
        if token_kind(link) == "link":
            with self._database.transaction() as db:
                rows = db.execute(
                    "DELETE FROM sign_in_links WHERE hash = ? AND expires >= ? AND person IN (SELECT id FROM users WHERE disabled"
                    " IS NULL) RETURNING person, (SELECT name FROM users WHERE id = person) AS name",
                    (token_digest(link), self._clock()),
                )
                if rows:
                    record(db, self._clock(), rows[0]["name"], "sign in", rows[0]["name"], {"by": "link"})
                    return self._sessions.create(db, rows[0]["person"], "link")
        raise Unauthorized("the sign-in link was used or has expired", remedy="an admin of the server makes a new one")

    def new_link(self, name: str, *, who: str, valid_s: float = LINK_S) -> str:
        """The word of a new link with which a user signs in once. Earlier ones of this user become worthless. Raises NotFound."""
        with self._database.transaction() as db:
            return self.add_link(db, name, who=who, valid_s=valid_s)

    def add_link(self, db: Connection, name: str, *, who: str, valid_s: float = LINK_S) -> str:
        """As new_link, in a transaction."""
        rows = db.execute("SELECT id FROM users WHERE name = ? AND disabled IS NULL", (name,))
        if not rows:
            raise NotFound(f"there is no user {name!r} who may sign in")
        link = new_token("link")
        db.execute("DELETE FROM sign_in_links WHERE person = ?", (rows[0]["id"],))
        db.execute(
            "INSERT INTO sign_in_links (hash, person, expires) VALUES (?, ?, ?)",
            (token_digest(link), rows[0]["id"], self._clock() + valid_s),
        )
        record(db, self._clock(), who, "create sign-in link", name, {})
        return link


def network(address: str) -> str:
    """What counts as one asker: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))
