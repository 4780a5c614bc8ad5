"""Routes of admins, and of what watches the server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from swath.protocol.messages import AuditPage, Message, Name, Role
from swath.server.api.requests import Asker, InPath, Server
from swath.server.audit import audit_page
from swath.server.metrics import MEDIA, exposition

router = APIRouter(tags=["admin"])
health = APIRouter(tags=["health"])


class ProjectBody(Message):
    """Where the code of a project is."""

    source: dict[str, Any]


class TokenBody(Message):
    """A token to create."""

    name: Name
    kind: Literal["user", "agent"]
    role: Role = "runner"
    project: Name | None = None
    valid_s: float | None = Field(default=None, gt=0)


class LimitBody(Message):
    """A limit of runs; null: none."""

    most: int | None = Field(ge=0, le=100_000)


class PauseBody(Message):
    """Whether an agent claims no more runs."""

    paused: bool


@router.get("/projects")
def list_projects(server: Server, who: Asker) -> list[dict[str, Any]]:
    """Projects that the asker may know of."""
    who.require("viewer")
    return [project for project in server.projects.all() if who.projects is None or project["name"] in who.projects]


@router.put("/projects/{name}", status_code=204)
def put_project(name: InPath, body: ProjectBody, server: Server, who: Asker) -> None:
    """Add a project, or change it."""
    who.require("admin")
    server.projects.put(name, body.source, who=who.name)


@router.put("/projects/{name}/limits/{key}", status_code=204)
def put_limit(name: InPath, key: InPath, body: LimitBody, server: Server, who: Asker) -> None:
    """How many runs with one `limit_key` go on at once in a project."""
    who.require("admin")
    server.projects.limit(name, key, body.most, who=who.name)


@router.get("/audit")
def list_changes(
    server: Server, who: Asker, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> AuditPage:
    """What was changed, newest first."""
    who.require("admin")
    return audit_page(server.database, cursor, limit)


@router.get("/tokens")
def list_tokens(server: Server, who: Asker) -> list[dict[str, Any]]:
    """Tokens, without the tokens themselves."""
    who.require("admin")
    return server.accounts.tokens()


@router.post("/tokens", status_code=201)
def create_token(body: TokenBody, server: Server, who: Asker) -> dict[str, str]:
    """Create a token. It is shown this once."""
    who.require("admin")
    token = server.accounts.create(
        body.kind, body.name, body.role, who=who.name, project=body.project, valid_s=body.valid_s
    )
    return {"name": body.name, "token": token}


@router.delete("/tokens/{name}", status_code=204)
def revoke_token(name: InPath, server: Server, who: Asker) -> None:
    """Make a token worthless."""
    who.require("admin")
    server.accounts.revoke(name, who=who.name)


@router.post("/agents/{name}/pause", status_code=204)
def pause_agent(name: InPath, body: PauseBody, server: Server, who: Asker) -> None:
    """Let an agent claim no more runs, or let it go on."""
    who.require("admin")
    server.agents.pause(name, paused=body.paused, who=who.name)


@health.get("/healthz")
def healthz(server: Server) -> dict[str, str]:
    """Whether the server and its database answer."""
    with server.database.transaction() as db:
        db.execute(
            "INSERT INTO meta (name, value) VALUES ('health', '') ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )
    return {"status": "ok"}


@router.get("/metrics", response_class=Response, responses={200: {"content": {MEDIA: {}}}})
def metrics(server: Server, who: Asker) -> Response:
    """What Prometheus collects."""
    who.require("viewer")
    who.require_all_projects()
    return Response(exposition(server.database, server.agents.all(), server.requests), media_type=MEDIA)
