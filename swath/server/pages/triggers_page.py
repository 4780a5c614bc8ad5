"""The pages of triggers: what is next, what came of the last, and why nothing was started; buttons that fire, pause and resume."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from swath.server.api.requests import Server
from swath.server.identity import ROLES, Identity
from swath.server.pages.page_session import Fields, Looker
from swath.server.pages.render import page
from swath.server.refusals import Refusal

router = APIRouter()


@router.get("/triggers")
def triggers_page(request: Request, server: Server, visitor: Looker) -> Response:
    """The triggers of all projects that the visitor may know of."""
    who = visitor.identity
    who.require("viewer")
    projects = server.triggers.lists.everywhere(who.projects)
    return page(request, "triggers", visitor=visitor, csrf=visitor.csrf, projects=projects)


@router.get("/triggers/{project}/{name}")
def trigger_page(project: str, name: str, request: Request, server: Server, visitor: Looker) -> Response:
    """One trigger with its firings, and what came of its due instants and looks."""
    who = visitor.identity
    who.require("viewer", project)
    detail = server.triggers.lists.one(project, name)
    return page(
        request, "trigger", visitor=visitor, csrf=visitor.csrf, detail=detail, trigger=detail.trigger,
        may_fire=_may(who, "runner", project), may_pause=_may(who, "keeper", project),
    )  # fmt: skip


@router.post("/triggers/{project}/{name}/fire")
async def fire(project: str, name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Ask for a run now; a sensor looks now."""
    who = visitor.identity
    who.require("runner", project)
    key = fields.get("key") or None
    fired = await run_in_threadpool(server.triggers.by_hand.fire, project, name, key, who=who.name)
    server.wakeup.notify()
    return RedirectResponse(f"/runs/{fired.run}" if fired.run else f"/triggers/{project}/{name}", 303)


@router.post("/triggers/{project}/{name}/pause")
def pause(project: str, name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Fire a trigger no more until it is resumed."""
    visitor.identity.require("keeper", project)
    server.triggers.definitions.pause(project, name, who=visitor.identity.name)
    return RedirectResponse(f"/triggers/{project}/{name}", 303)


@router.post("/triggers/{project}/{name}/resume")
def resume(project: str, name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Let a paused trigger go on."""
    visitor.identity.require("keeper", project)
    missed = fields.get("missed", "skip")
    if missed not in ("skip", "last", "all"):
        raise Refusal("what was missed is left out (skip), or made up for (last, all)", status=422)
    server.triggers.definitions.resume(project, name, missed, who=visitor.identity.name)
    return RedirectResponse(f"/triggers/{project}/{name}", 303)


def _may(who: Identity, role: str, project: str) -> bool:
    have = who.role_in(project)
    return have in ROLES and ROLES.index(have) >= ROLES.index(role)
