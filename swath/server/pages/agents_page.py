"""The page of agents: who executes runs, how busy each is, and when it was last heard of."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from swath.server.agents import ALIVE_S
from swath.server.api.requests import Server
from swath.server.pages.page_session import Fields, Looker
from swath.server.pages.render import page

router = APIRouter()


@router.get("/agents")
def agents_page(request: Request, server: Server, visitor: Looker) -> Response:
    """Agents, those that were heard of last first."""
    who = visitor.identity
    who.require("viewer")
    agents = [agent for agent in server.agents.all() if who.projects is None or agent.project in (None, *who.projects)]
    return page(
        request, "agents", visitor=visitor, csrf=visitor.csrf, agents=agents, alive_s=ALIVE_S, may=who.role == "admin"
    )


@router.post("/agents/{name}/pause")
def pause(name: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Let an agent claim no more runs, or let it go on."""
    visitor.identity.require("admin")
    server.agents.pause(name, paused=fields.get("paused") == "1", who=visitor.identity.name)
    return RedirectResponse("/agents", 303)
