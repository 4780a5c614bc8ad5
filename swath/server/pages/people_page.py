"""The page of people, for admins: who may sign in, with which role in which project; and links that sign in once."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from swath.server.api.requests import Server
from swath.server.api.users import sign_in_link
from swath.server.pages.page_session import Fields, Looker, Visitor
from swath.server.pages.render import page
from swath.server.refusals import Conflict, Refusal
from swath.server.services import Services

router = APIRouter()
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ROLES = ("viewer", "runner", "keeper")


@router.get("/people")
def people_page(request: Request, server: Server, visitor: Looker) -> Response:
    """Users with their roles."""
    visitor.identity.require("admin")
    return _people(request, server, visitor)


@router.post("/people")
def add_person(request: Request, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Add a user with a role; the page then has the link that signs the user in."""
    who = visitor.identity
    who.require("admin")
    name, project, role = fields.get("name", "").strip(), fields.get("project", ""), fields.get("role", "")
    if not NAME.fullmatch(name) or role not in (*ROLES, "admin") or (role != "admin" and not project):
        return _people(
            request,
            server,
            visitor,
            422,
            problem="a name has letters, digits, '.', '_' and '-'; a role is in a project",
        )
    try:
        server.users.add(name, who=who.name, admin=role == "admin")
        if role != "admin":
            server.users.set_role(project, name, role, who=who.name)
    except Refusal as error:
        return _people(request, server, visitor, error.status, problem=error.message)
    link = sign_in_link(request, server.sign_in.new_link(name, who=who.name))
    return _people(request, server, visitor, 201, link=link, person=name)


@router.post("/people/{name}/link")
def new_link(name: str, request: Request, server: Server, visitor: Looker, fields: Fields) -> Response:
    """A new link that signs a user in once."""
    visitor.identity.require("admin")
    link = sign_in_link(request, server.sign_in.new_link(name, who=visitor.identity.name))
    return _people(request, server, visitor, 201, link=link, person=name)


@router.post("/people/{name}/role")
def set_role(name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Give a user a role in a project, or take it away."""
    visitor.identity.require("admin")
    role = fields.get("role") or None
    if role is not None and role not in ROLES:
        raise Refusal("there is no such role", status=422)
    server.users.set_role(fields.get("project", ""), name, role, who=visitor.identity.name)
    return RedirectResponse("/people", 303)


@router.post("/people/{name}/disable")
def disable(name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Let a user in no more, or again."""
    who = visitor.identity
    who.require("admin")
    if name == who.name:
        raise Conflict("nobody shuts out themselves", remedy="another admin does it")
    server.users.change(name, who=who, disabled=fields.get("disabled") == "1")
    return RedirectResponse("/people", 303)


def _people(
    request: Request,
    server: Services,
    visitor: Visitor,
    status: int = 200,
    *,
    problem: str = "",
    link: str = "",
    person: str = "",
) -> Response:
    return page(
        request, "people", status, visitor=visitor, csrf=visitor.csrf, people=server.users.all(), roles=ROLES,
        projects=[each["name"] for each in server.projects.all()], problem=problem, link=link, person=person,
    )  # fmt: skip
