"""Routes of inquiries: agents ask for one, and answer it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from swath.protocol.inquiries import Inquiry, InquiryAnswer, InquiryClaim
from swath.server.api.agents import LOOK_S, require_agent
from swath.server.api.long_poll import first_found
from swath.server.api.requests import Asker, Server

router = APIRouter(tags=["agents"])


@router.post(
    "/agents/{agent}/inquiries", responses={204: {"description": "There is nothing to answer."}}, response_model=Inquiry
)
async def take_inquiry(
    agent: str, asked: InquiryClaim, server: Server, who: Asker, request: Request
) -> Inquiry | Response:
    """Ask for an inquiry, and wait for one."""
    require_agent(who)

    def take() -> Inquiry | None:
        server.check(who)
        server.agents.seen(agent, asked.session, who)
        return server.inquiries.take(agent)

    return await first_found(take, server, request, wait_s=asked.wait_s, every_s=LOOK_S)


@router.put("/agents/{agent}/inquiries/{inquiry}", status_code=204)
async def answer_inquiry(
    agent: str, inquiry: Annotated[str, Path(max_length=64)], answer: InquiryAnswer, server: Server, who: Asker
) -> None:
    """Answer an inquiry that this agent has taken."""
    require_agent(who)

    def keep() -> None:
        server.agents.owned(agent, who)
        server.inquiries.answer(agent, inquiry, answer)

    await run_in_threadpool(keep)
    server.wakeup.notify()
