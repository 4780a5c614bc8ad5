"""The server as an ASGI application: routes, guards, and the work beside requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from swath.errors import SwathError
from swath.server.api import admin, agents, events, inquiries, runs, sessions, triggers, users
from swath.server.api.requests import Guard, add_error_answers, add_version
from swath.server.pages.app import create_pages
from swath.server.services import Services
from swath.version import __version__

log = logging.getLogger(__name__)
SETTLE_S = 5.0
"""How often attempts are looked at that nothing was heard of."""
REMOVE_S = 3600.0
"""How often old runs and lines are removed."""
FIRE_S = 1.0
"""How often triggers are looked at."""
SLICE_PAUSE_S = 0.05
"""Between two slices that are removed: others want the database too."""
PREFIX = "/api/v1"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(
    services: Services,
    hosts: frozenset[str] = LOOPBACK,
    settle_s: float = SETTLE_S,
    remove_s: float = REMOVE_S,
    fire_s: float = FIRE_S,
    *,
    secure: bool = False,
    url: str = "",
) -> FastAPI:
    """hosts: names under which the server may be asked. secure: browsers reach it by https only. url: how others reach it; for links
    that are given to people, instead of the name under which the server was asked for them."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_settle(services, settle_s)),
            asyncio.create_task(_remove_old(services, remove_s)),
            asyncio.create_task(_fire(services, fire_s)),
        ]
        try:
            yield
        finally:
            services.wakeup.close()
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    app = FastAPI(
        title="swath",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
    )
    app.state.services = services
    app.state.secure, app.state.url = secure, url
    for router in (
        runs.router,
        events.router,
        agents.router,
        inquiries.router,
        sessions.router,
        users.router,
        triggers.router,
        admin.router,
    ):
        app.include_router(router, prefix=PREFIX)
    app.include_router(admin.health)
    app.mount("/", create_pages(services, secure=secure, url=url))  # after the API's routes: it answers everything else
    add_error_answers(app)
    add_version(app)
    app.add_middleware(Guard, services=services, hosts=hosts)
    return app


async def _settle(services: Services, every_s: float) -> None:
    """Give up silent attempts for as long as the server is there."""
    while True:
        await asyncio.sleep(every_s)
        try:
            if await run_in_threadpool(services.queue.settle):
                services.wakeup.notify()
        except SwathError as error:  # the database may be away for a while
            log.warning("attempts could not be looked at: %s", error.message)
        except Exception:  # whatever it was: lost runs must be noticed once it is over
            log.exception("attempts could not be looked at")


async def _fire(services: Services, every_s: float) -> None:
    """Fire triggers for as long as the server is there."""
    while True:
        await asyncio.sleep(every_s)
        try:
            if await run_in_threadpool(services.triggers.scheduler.turn):
                services.wakeup.notify()
        except SwathError as error:  # what is due stays due until the database is back
            log.warning("triggers could not be looked at: %s", error.message)
        except Exception:
            log.exception("triggers could not be looked at")


async def _remove_old(services: Services, every_s: float) -> None:
    """Remove what is older than it has to be, for as long as the server is there."""
    while True:
        await asyncio.sleep(every_s)
        try:
            while await run_in_threadpool(services.retention.remove_slice):
                await asyncio.sleep(SLICE_PAUSE_S)
        except SwathError as error:
            log.warning("old runs could not be removed: %s", error.message)
        except Exception:
            log.exception("old runs could not be removed")
