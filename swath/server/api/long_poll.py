"""Requests of agents that wait until there is something for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from swath.server.services import Services

T = TypeVar("T")


async def first_found(
    take: Callable[[], T | None], server: Services, request: Request, *, wait_s: float, every_s: float
) -> T | Response:
    """What `take` gives as soon as it gives anything. It is called in a thread: at once, when the server is woken, and every every_s
    seconds. 204 after wait_s seconds, and when the server closes. For an agent that has gone nothing is taken."""
    deadline = time.monotonic() + wait_s
    while not await request.is_disconnected():
        found = await run_in_threadpool(take)
        if found is not None:
            return found
        left = deadline - time.monotonic()
        if left <= 0 or server.wakeup.closed:
            break
        await server.wakeup.wait(min(left, every_s))
    return Response(status_code=204)
