"""Routes of live views: what happens to a run, as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from swath.errors import SwathError
from swath.protocol.live import Live
from swath.protocol.messages import LinePage, RunInfo
from swath.server.api.requests import Asker, Server
from swath.server.identity import Identity
from swath.server.services import Services

router = APIRouter(tags=["runs"])
MEDIA = "text/event-stream"
POLL_S = 1.0
"""How often it looks, beside being woken."""
COMMENT_S = 15.0
"""A comment after so much silence: proxies cut what is silent for longer."""
LINES = 500
"""Log lines that are read at once: a browser that reads slowly costs no more memory than that."""
RETRY_MS = 2000
"""When a browser whose stream was cut asks again."""


@router.get("/runs/{run}/events", response_class=StreamingResponse, responses={200: {"content": {MEDIA: {}}}})
async def events(
    run: str,
    server: Server,
    who: Asker,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Events `run` (the run, whenever it has changed), `live` (how it stands: see GET /runs/RUN/live), `line` (a log line; its id is
    the event's) and, at last, `end`.

    With the header `Last-Event-ID`, as browsers send it, or `after`, the lines after that one.
    """
    return await event_stream(server, who, run, first_line(last_event_id, after))


def first_line(last_event_id: str | None, after: int) -> int:
    """The line after which a stream begins."""
    return int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 19 else after


async def event_stream(server: Services, who: Identity, run: str, first: int) -> StreamingResponse:
    """The events of a run for somebody who may see it. Raises NotFound, Forbidden and TooMany."""
    who.require("viewer")
    await run_in_threadpool(server.runs.get, run, who.projects)
    server.streams.check(who.id)  # refused here, not within an answer that has begun

    async def counted() -> AsyncIterator[str]:
        with server.streams.one(who.id):
            async for text in _events(server, who, run, first):
                yield text

    return StreamingResponse(counted(), media_type=MEDIA, headers={"X-Accel-Buffering": "no"})


async def _events(server: Services, who: Identity, run: str, after: int) -> AsyncIterator[str]:
    def look() -> tuple[RunInfo, LinePage, Live | None]:
        projects = server.check(who).projects
        page, live = server.runs.lines(run, after=after, limit=LINES), server.live.get(run)
        info = server.runs.get(run, projects)  # read last: what it says of the end is not older than the page
        return info, page, live

    yield f"retry: {RETRY_MS}\n\n"
    shown, counted, said = "", None, time.monotonic()
    while not server.wakeup.closed:
        try:
            info, page, live = await run_in_threadpool(look)
        except SwathError:  # the token was revoked, or the database is away: the browser asks again, and is told so
            return
        state = info.model_copy(update={"silent_s": 0.0}).model_dump_json()
        if state != shown:
            yield f"event: run\ndata: {state}\n\n"
            shown = state
            said = time.monotonic()
        if live is not None and live != counted:
            yield f"event: live\ndata: {live.model_dump_json()}\n\n"
            counted, said = live, time.monotonic()
        for line in page.lines:
            yield f"event: line\nid: {line.id}\ndata: {line.model_dump_json()}\n\n"
            said = time.monotonic()
        after = page.next
        if page.ended:
            yield "event: end\ndata: {}\n\n"
            return
        if not page.lines:
            if time.monotonic() - said > COMMENT_S:
                yield ": the run goes on\n\n"
                said = time.monotonic()
            await server.wakeup.wait(POLL_S)
