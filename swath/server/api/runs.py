"""Routes of people and CI: runs."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from swath.crashpoint import reached
from swath.protocol.live import Live
from swath.protocol.messages import Cancellation, LinePage, RunInfo, RunPage, RunRequest
from swath.run_id import new_run_id
from swath.server.api.requests import Asker, Server
from swath.server.identity import Identity
from swath.server.refusals import Forbidden, Refusal
from swath.server.runs import MOST_LINES, MOST_RUNS
from swath.server.services import Services
from swath.server.spec_text import read_spec

router = APIRouter(tags=["runs"])
Wait = Annotated[float, Query(ge=0, le=25)]
POLL_S = 1.0
"""How often a waiting request looks again, beside being woken."""


@router.post("/runs", status_code=201)
async def submit(
    request: RunRequest,
    server: Server,
    who: Asker,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> RunInfo:
    """Ask for a run. With the header `Idempotency-Key` it is safe to ask again: the same request gives the same run."""
    who.require("runner", request.project)
    return await _submit(request, server, who, response, idempotency_key)


@router.post(
    "/projects/{project}/runs",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}},
    },
)
async def submit_text(
    project: str,
    request: Request,
    server: Server,
    who: Asker,
    response: Response,
    settings: Annotated[list[str] | None, Query(alias="set", max_length=100)] = None,
    label: Annotated[list[str] | None, Query(max_length=20)] = None,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> RunInfo:
    """Ask for a run with a spec's text as the body, as `curl --data-binary @spec.yaml` sends it. set, label: as of `pipe submit`."""
    who.require("runner", project)
    try:
        asked = RunRequest(
            project=project, spec=(await request.body()).decode(), set=tuple(settings or ()), labels=tuple(label or ())
        )
    except UnicodeDecodeError:
        raise Refusal("the spec is not UTF-8", status=422) from None
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:10]
        )
        raise Refusal(found, status=422) from None
    return await _submit(asked, server, who, response, idempotency_key)


async def _submit(request: RunRequest, server: Services, who: Identity, response: Response, key: str | None) -> RunInfo:
    def work() -> RunInfo:
        spec = read_spec(request.spec)
        name = request.name or spec.name or spec.pipeline
        run, _ = server.queue.submit(request, new_run_id(name), name, spec.pipeline, who.name, key)
        reached("submitted")
        return server.runs.get(run, who.projects, server.agents.all())

    info = await run_in_threadpool(work)
    server.wakeup.notify()
    response.headers["Location"] = f"/api/v1/runs/{info.id}"
    return info


@router.get("/runs")
def list_runs(
    server: Server,
    who: Asker,
    project: str | None = None,
    state: Literal["queued", "claimed", "running", "ended"] | None = None,
    status: str | None = None,
    pipeline: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 50,
) -> RunPage:
    """Runs, newest first."""
    who.require("viewer", project)
    return server.runs.page(
        who.projects if project is None else (project,),
        state=state,
        status=status,
        pipeline=pipeline,
        cursor=cursor,
        limit=limit,
    )


@router.get("/runs/{run}")
async def get_run(run: str, server: Server, who: Asker, wait_s: Wait = 0) -> RunInfo:
    """One run. wait_s: answer when it has ended, or after so many seconds."""
    who.require("viewer")
    deadline = time.monotonic() + wait_s
    while True:
        info = await run_in_threadpool(_get, server, who, run)
        left = deadline - time.monotonic()
        if info.state == "ended" or left <= 0 or server.wakeup.closed:
            return info
        await server.wakeup.wait(min(left, POLL_S))


def _get(server: Services, who: Identity, run: str) -> RunInfo:
    return server.runs.get(run, who.projects, server.agents.all())


@router.get("/runs/{run}/lines")
async def get_lines(
    run: str,
    server: Server,
    who: Asker,
    after: Annotated[int, Query(ge=0)] = 0,
    level: Literal["debug", "info", "warning", "error"] | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 1000,
    wait_s: Wait = 0,
) -> LinePage:
    """Log lines after one of them. wait_s: answer when there is one or the run has ended, or after so many seconds."""
    who.require("viewer")
    deadline = time.monotonic() + wait_s

    def work() -> LinePage:
        server.runs.get(run, who.projects)
        return server.runs.lines(run, after=after, level=level, limit=limit)

    while True:
        page = await run_in_threadpool(work)
        left = deadline - time.monotonic()
        if page.lines or page.ended or left <= 0 or server.wakeup.closed:
            return page
        await server.wakeup.wait(min(left, POLL_S))


@router.get("/runs/{run}/live")
def get_live(run: str, server: Server, who: Asker) -> Live | None:
    """How a run stands: counts of its nodes, rates, groups of its problems; null before its process has said so."""
    who.require("viewer")
    server.runs.get(run, who.projects)
    return server.live.get(run)


@router.post("/runs/{run}/cancel")
async def cancel(run: str, request: Cancellation, server: Server, who: Asker) -> RunInfo:
    """Ask a run to stop. Runners stop their own; keepers stop all."""
    who.require("runner")

    def work() -> RunInfo:
        _own(server, who, run)
        server.queue.cancel(run, who.name, request.reason)
        return server.runs.get(run, who.projects)

    info = await run_in_threadpool(work)
    server.wakeup.notify()
    return info


@router.post("/runs/{run}/resume")
async def resume(run: str, server: Server, who: Asker) -> RunInfo:
    """Queue a run again that has ended without its result. Runners resume their own; keepers resume all."""
    who.require("runner")

    def work() -> RunInfo:
        _own(server, who, run)
        server.queue.resume(run, who.name)
        return _get(server, who, run)

    info = await run_in_threadpool(work)
    server.wakeup.notify()
    return info


def _own(server: Services, who: Identity, run: str) -> None:
    """Raise Forbidden for a runner and a run of somebody else."""
    info = server.runs.get(run, who.projects)
    who.require("runner", info.project)
    if info.requested_by != who.name and who.role_in(info.project) == "runner":
        raise Forbidden(f"{run} is {info.requested_by}'s", remedy="a keeper of the project may do this")
