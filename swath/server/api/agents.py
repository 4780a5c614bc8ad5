"""Routes of agents and supervisors."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from swath.crashpoint import reached
from swath.protocol.live import Live
from swath.protocol.messages import (
    AgentInfo,
    AgentRegistration,
    Beat,
    BeatAnswer,
    Claim,
    End,
    Gone,
    LinesAnswer,
    LogLines,
    Registered,
    Work,
)
from swath.server.api.long_poll import first_found
from swath.server.api.requests import Asker, Server
from swath.server.identity import Identity
from swath.server.refusals import Forbidden, NotFound, Refusal
from swath.version import __version__

router = APIRouter(tags=["agents"])
WAIT_S = 25.0
"""The longest wait of a claim: proxies cut what is silent for longer."""
LOOK_S = 10.0
"""How often a waiting claim looks by itself: another server process may have got a run."""
Number = Annotated[int, Path(ge=1)]


def require_agent(who: Identity) -> Identity:
    """Raise Forbidden unless an agent asks."""
    if who.kind != "agent":
        raise Forbidden("this needs a token of an agent", remedy="`pipe token create --kind agent NAME` makes one")
    return who


def _attempt(who: Identity, run: str, number: int) -> None:
    if (who.kind, who.run, who.number) != ("attempt", run, number):
        raise NotFound(f"there is no attempt {number} of {run}")


def check_version(version: str, own: str = __version__) -> None:
    """Raise Refusal (426) for an agent whose version is more than one minor step away: it may not know the messages of this one."""
    theirs, ours = (re.match(r"(\d+)\.(\d+)", text) for text in (version, own))
    if theirs and ours and (theirs[1] != ours[1] or abs(int(theirs[2]) - int(ours[2])) > 1):
        raise Refusal(
            f"this server has swath {own}, the agent {version}", remedy="install the server's version there", status=426
        )


@router.post("/agents")
def register(registration: AgentRegistration, server: Server, who: Asker) -> Registered:
    """Say that an agent is there."""
    check_version(registration.version)
    agent = server.agents.register(registration, require_agent(who))
    return Registered(
        id=agent, beat_s=server.queue.limits.beat_s, wait_s=WAIT_S, server=server.identity,
        attempts=server.queue.attempts_of(agent),
    )  # fmt: skip


@router.get("/agents")
def list_agents(server: Server, who: Asker) -> tuple[AgentInfo, ...]:
    """All agents."""
    who.require("viewer")
    return tuple(server.agents.all(who.projects))


@router.post("/agents/{agent}/claim", responses={204: {"description": "There is nothing to do."}}, response_model=Work)
async def claim(agent: str, asked: Claim, server: Server, who: Asker, request: Request) -> Work | Response:
    """Ask for a run, and wait for one."""
    require_agent(who)

    def work() -> Work | None:
        server.check(who)
        server.agents.seen(agent, asked.session, who)
        claimed = server.queue.claim(agent, asked.claim)
        if claimed is not None:
            reached("assigned")
        return claimed

    return await first_found(work, server, request, wait_s=asked.wait_s, every_s=LOOK_S)


@router.post("/agents/{agent}/gone/{run}", status_code=204)
async def gone(agent: str, run: str, message: Gone, server: Server, who: Asker) -> None:
    """Say that an attempt of this agent has ended without a word of its supervisor."""
    require_agent(who)

    def work() -> None:
        server.agents.owned(agent, who)
        server.queue.gone(agent, run, message)

    await run_in_threadpool(work)
    server.wakeup.notify()


@router.post("/attempts/{run}/{number}/work")
def take_over(run: str, number: Number, server: Server, who: Asker) -> Work:
    """Exchange the token that a job's definition has for the attempt's own. The first beat with that makes the other one worthless."""
    _attempt(who, run, number)
    return server.queue.take_over(run, number)


@router.post("/attempts/{run}/{number}/beat")
def beat(run: str, number: Number, message: Beat, server: Server, who: Asker) -> BeatAnswer:
    """Say that an attempt goes on."""
    _attempt(who, run, number)
    return server.queue.beat(run, number, message)


@router.post("/attempts/{run}/{number}/lines")
async def lines(run: str, number: Number, message: LogLines, server: Server, who: Asker) -> LinesAnswer:
    """Add log lines."""
    _attempt(who, run, number)
    answer = await run_in_threadpool(server.queue.add_lines, run, number, message.lines)
    reached("stored")
    server.wakeup.notify()
    return answer


@router.put("/attempts/{run}/{number}/live", status_code=204)
async def live(run: str, number: Number, message: Live, server: Server, who: Asker) -> None:
    """Say how an attempt stands."""
    _attempt(who, run, number)
    await run_in_threadpool(server.live.put, run, number, message)
    server.wakeup.notify()


@router.post("/attempts/{run}/{number}/end", status_code=204)
async def end(run: str, number: Number, message: End, server: Server, who: Asker) -> None:
    """Say how an attempt ended."""
    _attempt(who, run, number)
    await run_in_threadpool(server.queue.end, run, number, message)
    server.wakeup.notify()
