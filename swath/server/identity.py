"""Who asks, and what they may do in which project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from swath.protocol.messages import Role
from swath.server.database.database import Connection
from swath.server.refusals import Forbidden, NotFound

ROLES: tuple[str, ...] = get_args(Role)
"""From the least to the most."""


@dataclass(frozen=True)
class Identity:
    """Who asks. Exactly one of user, agent and attempt."""

    kind: str
    """`user`, `agent` or `attempt`."""
    id: str
    """Of the token or session."""
    name: str
    role: str = ""
    """In every project; empty for none."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """In single projects, by their names."""
    user: str = ""
    """Id of the person; empty for a token that is nobody's."""
    session: str = ""
    """Digest of the session; empty for a token."""
    token: str = ""
    """Name of the token; empty for a session."""
    run: str = ""
    number: int = 0
    """Of an attempt."""

    @property
    def projects(self) -> frozenset[str] | None:
        """The projects that it may know of; None for all."""
        return None if self.role else frozenset(self.roles)

    def role_in(self, project: str) -> str:
        """Its role in a project; empty for none."""
        return max(self.role, self.roles.get(project, ""), key=_rank)

    def require(self, role: str, project: str | None = None) -> None:
        """Raise Forbidden unless it is a user with at least this role: in the project, or in any when none is named (admin: in all).

        Raises NotFound for a project that it may not know of.
        """
        if self.kind != "user":
            raise Forbidden(f"a token of kind {self.kind} may not do this")
        if project is not None and self.projects is not None and project not in self.projects:
            raise NotFound(f"there is no project {project!r} on this server")
        if role == "admin" and self.projects is not None:
            raise Forbidden(f"{self.name} is of {_list(self.projects)} only: this is for admins of the server")
        have = self.role_in(project) if project is not None else max(self.role, *self.roles.values(), "", key=_rank)
        if _rank(have) < _rank(role):
            raise Forbidden(
                f"{self.name} is {have or 'in no project'}: this needs {role}", remedy="ask an admin of the server"
            )

    def require_all_projects(self) -> None:
        """Raise Forbidden for what may know of some projects only."""
        if self.projects is not None:
            raise Forbidden(f"{self.name} is of {_list(self.projects)} only: this is of all projects")


def roles_of(db: Connection, user: str) -> dict[str, str]:
    """The roles of a user in single projects."""
    rows = db.execute(
        "SELECT projects.name, role FROM members JOIN projects ON projects.id = members.project WHERE person = ?",
        (user,),
    )
    return {row["name"]: row["role"] for row in rows}


def _rank(role: str) -> int:
    return ROLES.index(role) if role else -1


def _list(projects: frozenset[str]) -> str:
    return ", ".join(sorted(projects)) or "no project"
