"""People who sign in to the server, and their roles in projects."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from swath.server.audit import record
from swath.server.database.database import Connection, Database
from swath.server.identity import Identity
from swath.server.passwords import check_password, password_hash, verify_password
from swath.server.refusals import Conflict, Forbidden, NotFound
from swath.server.sessions import end_sessions


class Users:
    """Users in the server's database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str, *, who: str, email: str = "", admin: bool = False) -> None:
        """Add a user, who has no password and no project yet. Raises Conflict when a user or a token has the name."""
        with self._database.transaction() as db:
            add_user(db, self._clock(), name, who=who, email=email, admin=admin)

    def ensure_admin(self, name: str, *, who: str) -> Identity:
        """An admin of the server, who is added when there is none of this name, and let in again when disabled."""
        with self._database.transaction() as db:
            found = db.execute("UPDATE users SET admin = 1, disabled = NULL WHERE name = ? RETURNING id", (name,))
            user = found[0]["id"] if found else add_user(db, self._clock(), name, who=who, admin=True)
        return Identity("user", user, name, "admin", user=user)

    def all(self) -> list[dict[str, Any]]:
        """All users by name, with their roles."""
        with self._database.reading() as db:
            users = db.execute("SELECT id, name, email, admin, password, disabled, created FROM users ORDER BY name")
            roles = db.execute(
                "SELECT person, projects.name, role FROM members JOIN projects ON projects.id = members.project"
                " ORDER BY projects.name"
            )
        return [
            {
                "name": user["name"], "email": user["email"], "admin": bool(user["admin"]), "disabled": bool(user["disabled"]),
                "password": user["password"] is not None, "created": user["created"],
                "roles": {row["name"]: row["role"] for row in roles if row["person"] == user["id"]},
            }
            for user in users
        ]  # fmt: skip

    def change(self, name: str, *, who: Identity, admin: bool | None = None, disabled: bool | None = None) -> None:
        """Make a user an admin of the server or none; let a user in no more, or again. Raises NotFound, Conflict for oneself."""
        with self._database.transaction() as db:
            user = _user(db, name)
            if user == who.user and (disabled or admin is False):
                raise Conflict("nobody shuts out themselves", remedy="another admin does it")
            if admin is not None:
                db.execute("UPDATE users SET admin = ? WHERE id = ?", (int(admin), user))
                record(db, self._clock(), who.name, "make admin" if admin else "make no admin", name, {})
            if disabled is not None:
                db.execute("UPDATE users SET disabled = ? WHERE id = ?", (self._clock() if disabled else None, user))
                record(db, self._clock(), who.name, "disable user" if disabled else "enable user", name, {})
            if disabled:
                end_sessions(db, user)
                db.execute("DELETE FROM sign_in_links WHERE person = ?", (user,))

    def set_password(
        self, name: str, password: str, *, who: Identity, old: str | None = None, fresh: bool = False
    ) -> None:
        """Set a password, and end the user's other sessions. Users set their own, admins everybody's.

        old: the user's present password; needed for one's own unless there is none, or the session is fresh from a link.
        Raises Forbidden, NotFound, and Refusal for a password that is too easy to guess.
        """
        with self._database.reading() as db:
            rows = db.execute("SELECT id, password FROM users WHERE name = ?", (name,))
        own = bool(who.user) and bool(rows) and rows[0]["id"] == who.user
        if not own:
            who.require("admin")
        if not rows:
            raise NotFound(f"there is no user {name!r}")
        check_password(password, name)
        stored = rows[0]["password"]
        if own and stored is not None and not fresh and not verify_password(stored, old or ""):
            raise Forbidden("the present password is needed", remedy="or sign in with a link that an admin makes")
        new = password_hash(password)
        with self._database.transaction() as db:
            db.execute("UPDATE users SET password = ? WHERE id = ?", (new, rows[0]["id"]))
            db.execute("DELETE FROM sign_in_links WHERE person = ?", (rows[0]["id"],))
            end_sessions(db, rows[0]["id"], but=who.session)
            record(db, self._clock(), who.name, "set password", name, {})

    def members(self, project: str) -> dict[str, str]:
        """Users and their roles in a project."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT users.name, role FROM members JOIN users ON users.id = person JOIN projects ON projects.id ="
                " members.project WHERE projects.name = ? ORDER BY users.name",
                (project,),
            )
        return {row["name"]: row["role"] for row in rows}

    def set_role(self, project: str, name: str, role: str | None, *, who: str) -> None:
        """Give a user a role in a project; None takes it away. Raises NotFound."""
        with self._database.transaction() as db:
            user = _user(db, name)
            rows = db.execute("SELECT id FROM projects WHERE name = ?", (project,))
            if not rows:
                raise NotFound(f"there is no project {project!r} on this server")
            place = rows[0]["id"]
            if role is None:
                db.execute("DELETE FROM members WHERE project = ? AND person = ?", (place, user))
            else:
                db.execute(
                    "INSERT INTO members (project, person, role) VALUES (?, ?, ?)"
                    " ON CONFLICT (project, person) DO UPDATE SET role = excluded.role",
                    (place, user, role),
                )
            record(db, self._clock(), who, "set role", name, {"project": project, "role": role})


def add_user(db: Connection, now: float, name: str, *, who: str, email: str = "", admin: bool = False) -> str:
    """Add a user in a transaction. Returns the id.

    Raises Conflict when a user or a token of nobody has the name: runs are known by it.
    """
    alike = db.execute("SELECT name FROM users WHERE lower(name) = lower(?)", (name,))
    if alike:
        raise Conflict(f"there is a user {alike[0]['name']!r} already")
    if db.execute("SELECT id FROM tokens WHERE name = ? AND owner IS NULL AND revoked IS NULL", (name,)):
        raise Conflict(f"there is a token {name!r}: its runs would be taken for this user's", remedy="revoke it first")
    user = secrets.token_hex(8)
    db.execute(
        "INSERT INTO users (id, name, email, admin, created) VALUES (?, ?, ?, ?, ?)",
        (user, name, email, int(admin), now),
    )
    record(db, now, who, "add user", name, {"email": email, "admin": admin})
    return user


def _user(db: Connection, name: str) -> str:
    rows = db.execute("SELECT id FROM users WHERE name = ?", (name,))
    if not rows:
        raise NotFound(f"there is no user {name!r}")
    found: str = rows[0]["id"]
    return found
