"""Routes of triggers: people list, make, pause and fire them; agents report them and look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from swath.crashpoint import reached
from swath.protocol.triggers import (
    Fired,
    FireRequest,
    LookAnswer,
    LookClaim,
    LookWork,
    ResumeRequest,
    TriggerBody,
    TriggerDetail,
    TriggerPage,
    TriggerPut,
    TriggersRead,
)
from swath.server.api.agents import require_agent
from swath.server.api.long_poll import first_found
from swath.server.api.requests import Asker, InPath, Server
from swath.server.refusals import Unauthorized
from swath.server.triggers.hook_signature import SignedRequest

router = APIRouter(tags=["triggers"])
LOOK_S = 5.0
"""How often a waiting claim looks by itself whether something is due."""
Trigger = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$")]


@router.get("/projects/{project}/triggers")
def list_triggers(project: InPath, server: Server, who: Asker) -> TriggerPage:
    """The triggers of a project, and what came of them last."""
    who.require("viewer", project)
    return server.triggers.lists.all(project)


@router.get("/projects/{project}/triggers/{trigger}")
def get_trigger(project: InPath, trigger: Trigger, server: Server, who: Asker) -> TriggerDetail:
    """One trigger with its newest firings, and why nothing was started."""
    who.require("viewer", project)
    return server.triggers.lists.one(project, trigger)


@router.put("/projects/{project}/triggers/{trigger}")
def put_trigger(project: InPath, trigger: Trigger, body: TriggerBody, server: Server, who: Asker) -> TriggerPut:
    """Make a schedule, a hook, or a trigger that follows another, or change it. Sensors are written in the project's swath.yaml."""
    who.require("keeper", project)
    key = server.triggers.definitions.put(project, trigger, body.definition, body.spec, who=who.name)
    return TriggerPut(hook_key=key)


@router.delete("/projects/{project}/triggers/{trigger}", status_code=204)
def delete_trigger(project: InPath, trigger: Trigger, server: Server, who: Asker) -> None:
    """Remove a trigger that was made here. Its runs stay."""
    who.require("keeper", project)
    server.triggers.definitions.remove(project, trigger, who=who.name)


@router.post("/projects/{project}/triggers/{trigger}/fire")
async def fire(project: InPath, trigger: Trigger, body: FireRequest, server: Server, who: Asker) -> Fired:
    """Ask for a run now; a sensor looks now."""
    who.require("runner", project)
    fired = await run_in_threadpool(server.triggers.by_hand.fire, project, trigger, body.key, who=who.name)
    server.wakeup.notify()
    return fired


@router.post("/projects/{project}/triggers/{trigger}/pause", status_code=204)
def pause(project: InPath, trigger: Trigger, server: Server, who: Asker) -> None:
    """Fire a trigger no more until it is resumed."""
    who.require("keeper", project)
    server.triggers.definitions.pause(project, trigger, who=who.name)


@router.post("/projects/{project}/triggers/{trigger}/resume", status_code=204)
async def resume(project: InPath, trigger: Trigger, body: ResumeRequest, server: Server, who: Asker) -> None:
    """Let a paused trigger go on."""
    who.require("keeper", project)
    await run_in_threadpool(server.triggers.definitions.resume, project, trigger, body.missed, who=who.name)
    server.wakeup.notify()


@router.post("/hooks/{project}/{trigger}")
async def hook(
    project: InPath,
    trigger: Trigger,
    request: Request,
    server: Server,
    webhook_id: Annotated[str, Header(max_length=400)] = "",
    webhook_timestamp: Annotated[str, Header(max_length=20)] = "",
    webhook_signature: Annotated[str, Header(max_length=2000)] = "",
) -> Fired:
    """Fire a hook with a request that is signed as Standard Webhooks say. The same `webhook-id` gives the same run."""
    body = await request.body()
    signed = SignedRequest(webhook_id, webhook_timestamp, webhook_signature, body)
    try:
        fired = await run_in_threadpool(server.triggers.hooks.fire, project, trigger, signed)
    except Unauthorized:
        server.failures.take(request.client.host if request.client else "")
        raise
    server.wakeup.notify()
    return fired


@router.post(
    "/agents/{agent}/look", responses={204: {"description": "There is nothing to look at."}}, response_model=LookWork
)
async def claim_look(agent: str, asked: LookClaim, server: Server, who: Asker, request: Request) -> LookWork | Response:
    """Ask for something to look at, and wait for it: the triggers of a project, or a sensor."""
    require_agent(who)
    await run_in_threadpool(server.agents.seen, agent, asked.session, who)

    def claimed() -> LookWork | None:
        server.check(who)
        found = server.triggers.looks.claim(agent, asked.session, asked.without)
        if found is not None:
            reached("looking")
        return found

    return await first_found(claimed, server, request, wait_s=asked.wait_s, every_s=LOOK_S)


@router.post("/agents/{agent}/look/{look}/triggers", status_code=204)
async def triggers_read(agent: str, look: str, told: TriggersRead, server: Server, who: Asker) -> None:
    """Say which triggers a project has."""
    require_agent(who)
    await run_in_threadpool(server.agents.owned, agent, who)
    await run_in_threadpool(server.triggers.looks.read, look, agent, told)
    server.wakeup.notify()


@router.post("/agents/{agent}/look/{look}/found", status_code=204)
async def found_things(agent: str, look: str, told: LookAnswer, server: Server, who: Asker) -> None:
    """Say what a look found."""
    require_agent(who)
    await run_in_threadpool(server.agents.owned, agent, who)
    if await run_in_threadpool(server.triggers.looks.answer, look, agent, told):
        server.wakeup.notify()
