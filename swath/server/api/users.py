"""Routes of users, and of members of projects."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from swath.protocol.messages import MemberRole, Message, Name
from swath.server.api.requests import Asker, InPath, Server
from swath.server.passwords import LONGEST

router = APIRouter(tags=["people"])
LINK_PATH = "/sign-in"
"""Of the page that asks whether to sign in with a link, and then does: a link that is only fetched must not be used up."""


class UserBody(Message):
    """A user to add."""

    name: Name
    email: Annotated[str, Field(max_length=320)] = ""
    admin: bool = False


class UserChange(Message):
    """What changes of a user; null: nothing."""

    admin: bool | None = None
    disabled: bool | None = None


class PasswordBody(Message):
    """A new password."""

    password: Annotated[str, Field(max_length=LONGEST)]
    old: Annotated[str, Field(max_length=LONGEST)] | None = None
    """The present one, of users who set their own."""


class MemberBody(Message):
    """A role in a project."""

    role: MemberRole


@router.get("/users")
def list_users(server: Server, who: Asker) -> list[dict[str, Any]]:
    """Users and their roles."""
    who.require("admin")
    return server.users.all()


@router.post("/users", status_code=201)
def add_user(body: UserBody, request: Request, server: Server, who: Asker) -> dict[str, str]:
    """Add a user. The answer has a link with which that user signs in, once."""
    who.require("admin")
    server.users.add(body.name, who=who.name, email=body.email, admin=body.admin)
    return {"name": body.name, "link": sign_in_link(request, server.sign_in.new_link(body.name, who=who.name))}


@router.post("/users/{name}/link", status_code=201)
def create_link(name: InPath, request: Request, server: Server, who: Asker) -> dict[str, str]:
    """A new link with which a user signs in, once; earlier ones become worthless."""
    who.require("admin")
    return {"name": name, "link": sign_in_link(request, server.sign_in.new_link(name, who=who.name))}


@router.patch("/users/{name}", status_code=204)
def change_user(name: InPath, body: UserChange, server: Server, who: Asker) -> None:
    """Let a user in no more, or again; make an admin of the server, or none."""
    who.require("admin")
    server.users.change(name, who=who, admin=body.admin, disabled=body.disabled)


@router.put("/users/{name}/password", status_code=204)
async def set_password(name: InPath, body: PasswordBody, request: Request, server: Server, who: Asker) -> None:
    """Set a password: users their own, admins everybody's. The user's other sessions end."""
    if who.user and name == who.name:  # whoever took over a session does not get to guess the password
        server.sign_in.allow(name, request.client.host if request.client else "")

    def work() -> None:
        fresh = bool(who.session) and server.sessions.signed_in_by_link(who)
        server.users.set_password(name, body.password, who=who, old=body.old, fresh=fresh)

    await run_in_threadpool(work)


@router.get("/projects/{project}/members")
def list_members(project: InPath, server: Server, who: Asker) -> dict[str, str]:
    """Users and their roles in a project."""
    who.require("keeper", project)
    return server.users.members(project)


@router.put("/projects/{project}/members/{name}", status_code=204)
def put_member(project: InPath, name: InPath, body: MemberBody, server: Server, who: Asker) -> None:
    """Give a user a role in a project."""
    who.require("keeper", project)
    server.users.set_role(project, name, body.role, who=who.name)


@router.delete("/projects/{project}/members/{name}", status_code=204)
def remove_member(project: InPath, name: InPath, server: Server, who: Asker) -> None:
    """Take a user's role in a project away."""
    who.require("keeper", project)
    server.users.set_role(project, name, None, who=who.name)


def sign_in_link(request: Request, word: str) -> str:
    """The address of the page that signs in with the word of a link."""
    scheme = "https" if request.app.state.secure else request.url.scheme
    server = request.app.state.url or f"{scheme}://{request.headers['host']}"
    return f"{server}{LINK_PATH}?link={word}"
