"""Signing in with an identity provider: which user of the server somebody is, and the roles that the file gives."""

from __future__ import annotations

import contextlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping

from swath.errors import SwathError
from swath.server.audit import record
from swath.server.database.database import Connection, Database, Row
from swath.server.oidc.provider import BrowserSecret, Person, Provider, not_believed
from swath.server.rate_limit import Rate, RateLimit
from swath.server.refusals import Conflict, Forbidden, Unauthorized
from swath.server.sessions import Sessions
from swath.server.sign_in import network
from swath.server.users import add_user

log = logging.getLogger(__name__)
PER_ADDRESS = Rate(per_s=20 / 60, burst=20)
"""Steps of sign-ins; each one has two."""
RESERVED = frozenset({"admin", "root", "this-user", "this-machine"})
"""Names that no new user gets: the server's commands give rights to those who have them."""
PROVIDER = "the identity provider"
_ERROR = re.compile(r"[a-z_]{1,60}")


class OidcSignIn:
    """Makes sessions of people whom an identity provider has signed in."""

    def __init__(
        self,
        provider: Provider,
        database: Database,
        sessions: Sessions,
        clock: Callable[[], float] = time.time,
        per_address: Rate = PER_ADDRESS,
    ) -> None:
        self._provider = provider
        self._settings = provider.settings
        self._database = database
        self._sessions = sessions
        self._clock = clock
        self._addresses = RateLimit(per_address)

    @property
    def name(self) -> str:
        """Of the provider, on the button."""
        return self._settings.name

    def allow(self, address: str) -> None:
        """Count one step of a sign-in. Raises TooMany. For one event loop; the others are for threads."""
        self._addresses.take(network(address))

    def begin(self, back: str) -> tuple[str, str]:
        """Where the browser goes, and the word that it keeps meanwhile. back: where it comes back to. Raises SwathError."""
        secret = BrowserSecret()
        with _logged():
            return self._provider.sign_in_address(secret, back), secret.word

    def finish(self, word: str, answer: Mapping[str, str], back: str) -> str:
        """The secret of a new session. word: of `begin`; empty without one. answer: the fields that the browser came back with.

        Raises SwathError, mostly Unauthorized or Forbidden.
        """
        with _logged():
            secret = BrowserSecret(word)
            if not word or not hmac.compare_digest(
                secret.state.encode(), answer.get("state", "").encode(errors="replace")
            ):
                raise Unauthorized("this sign-in was begun elsewhere, or long ago", remedy="begin again")
            if answer.get("iss", self._settings.issuer) != self._settings.issuer:
                raise not_believed("the browser came back from another issuer")
            if not answer.get("code"):
                told = answer.get("error", "")
                raise Unauthorized(
                    f"{PROVIDER} has signed nobody in{f' ({told})' if _ERROR.fullmatch(told) else ''}",
                    remedy="begin again",
                )
            person = self._provider.person(answer["code"], secret, back)
            self._check_allowed(person)
            with self._database.transaction() as db:
                if self._database.migration_lock:  # one after the other, so that nobody is added twice
                    db.execute(self._database.migration_lock)
                return self._session(db, person)

    def _check_allowed(self, person: Person) -> None:
        allow = self._settings.allow
        if allow.domains and person.email.rpartition("@")[2] not in allow.domains:
            raise Forbidden(
                "this server lets people of other e-mail domains in" if person.email else _NO_EMAIL, remedy=_ADMIN
            )
        if allow.groups and not person.groups & set(allow.groups):
            raise Forbidden("this server lets members of other groups in", remedy=_ADMIN)

    def _session(self, db: Connection, person: Person) -> str:
        subject = f"{self._settings.issuer} {person.subject}"
        user = self._known(db, person, subject) or self._added(db, person, subject)
        if user["disabled"] is not None:
            raise Forbidden("this user is let in no more", remedy=_ADMIN)
        self._give_roles(db, person, user)
        record(db, self._clock(), user["name"], "sign in", user["name"], {"by": "oidc"})
        return self._sessions.create(db, user["id"], "oidc")

    def _known(self, db: Connection, person: Person, subject: str) -> Row | None:
        """The user that this person is: by the subject, or the first time by the e-mail address that an admin wrote down."""
        fields = "id, name, subject, admin, disabled"
        rows = db.execute(f"SELECT {fields} FROM users WHERE subject = ?", (subject,))
        if rows:
            return rows[0]
        if not person.email:
            return None
        rows = db.execute(f"SELECT {fields} FROM users WHERE lower(email) = ?", (person.email,))
        if not rows:
            return None
        if len(rows) > 1 or rows[0]["subject"] is not None:
            raise Conflict("another user of this server has this e-mail address", remedy=_ADMIN)
        db.execute("UPDATE users SET subject = ? WHERE id = ?", (subject, rows[0]["id"]))
        detail = {"subject": subject, "email": person.email}
        record(db, self._clock(), PROVIDER, "connect user", rows[0]["name"], detail)
        return rows[0]

    def _added(self, db: Connection, person: Person, subject: str) -> Row:
        """A new user. Raises Forbidden where the file allows nobody whom no admin has added."""
        allow = self._settings.allow
        if not allow.domains and not allow.groups:
            raise Forbidden(
                "no user of this server has your e-mail address" if person.email else _NO_EMAIL,
                remedy="an admin adds you: pipe user add NAME --email ADDRESS",
            )
        name = _free_name(db, person.wanted_name)
        user = add_user(db, self._clock(), name, who=PROVIDER, email=person.email)
        db.execute("UPDATE users SET subject = ? WHERE id = ?", (subject, user))
        return db.execute("SELECT id, name, subject, admin, disabled FROM users WHERE id = ?", (user,))[0]

    def _give_roles(self, db: Connection, person: Person, user: Row) -> None:
        """What the file says of this person now. It says nothing of projects that it does not name."""
        admins, now = self._settings.admins, self._clock()
        if admins.emails or admins.groups:
            emails = {each.lower() for each in admins.emails}
            admin = person.email in emails or bool(person.groups & set(admins.groups))
            if admin != bool(user["admin"]):
                db.execute("UPDATE users SET admin = ? WHERE id = ?", (int(admin), user["id"]))
                record(db, now, PROVIDER, "make admin" if admin else "make no admin", user["name"], {})
        for project, roles in self._settings.projects.items():
            self._give_role(db, user, project, {role for group, role in roles.items() if group in person.groups})

    def _give_role(self, db: Connection, user: Row, project: str, roles: set[str]) -> None:
        role = next((each for each in ("keeper", "runner", "viewer") if each in roles), None)
        places = db.execute("SELECT id FROM projects WHERE name = ?", (project,))
        if not places:  # an admin adds it later
            return
        key = (places[0]["id"], user["id"])
        present = db.execute("SELECT role FROM members WHERE project = ? AND person = ?", key)
        if (present[0]["role"] if present else None) == role:
            return
        db.execute("DELETE FROM members WHERE project = ? AND person = ?", key)
        if role is not None:
            db.execute("INSERT INTO members (project, person, role) VALUES (?, ?, ?)", (*key, role))
        record(db, self._clock(), PROVIDER, "set role", user["name"], {"project": project, "role": role})


_ADMIN = "ask an admin of the server"
_NO_EMAIL = "your account has no verified e-mail address"


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Writes down why a sign-in was refused: the person is not told all of it."""
    try:
        yield
    except SwathError as error:
        notes = "".join(f" ({ascii(note)[:300]})" for note in getattr(error, "__notes__", ()))
        log.warning("a sign-in with the identity provider was refused: %s%s", error.message, notes)
        raise


def _free_name(db: Connection, wanted: str) -> str:
    """A name like the wanted one that nobody has or had: runs are known by names."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "", wanted.partition("@")[0]).lstrip("._-")[:60] or "user"
    for number in range(1, 1000):
        name = plain if number == 1 else f"{plain}-{number}"
        taken = db.execute("SELECT name FROM users WHERE lower(name) = lower(?)", (name,)) or db.execute(
            "SELECT name FROM tokens WHERE lower(name) = lower(?) AND owner IS NULL", (name,)
        )
        if name.lower() not in RESERVED and not taken:
            return name
    raise Conflict(f"too many users are called {plain}", remedy=_ADMIN)
