"""The pages of one run: how it stands now, its log and its spec; and what people do with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse

from swath.protocol.messages import Cancellation
from swath.server.api import runs as api
from swath.server.api.events import event_stream, first_line
from swath.server.api.requests import Server
from swath.server.pages.page_session import Fields, Looker
from swath.server.pages.run_view import preview_of, run_of, run_view
from swath.server.run_log import LogFilter, RunLog

router = APIRouter()
Level = Literal["debug", "info", "warning", "error"]
Text = Annotated[str, Query(max_length=200)]
LINES = 500
LAST_LINES = 12
RAW_LINES = 5000


@router.get("/runs/{run}")
def now_page(run: str, request: Request, server: Server, visitor: Looker) -> Response:
    """How a run stands now."""
    info = run_of(server, visitor, run)
    log = RunLog(server.database)
    return run_view(
        request, server, "run_now", visitor, info, live=server.live.get(run), preview=preview_of(server, info),
        last=log.view(run, LogFilter(), limit=LAST_LINES), errors=log.view(run, LogFilter(level="error"), limit=20).lines,
    )  # fmt: skip


@router.get("/runs/{run}/log")
def log_page(
    run: str,
    request: Request,
    server: Server,
    visitor: Looker,
    level: Level = "debug",
    node: Text = "",
    find: Text = "",
    before: Annotated[int | None, Query(ge=1)] = None,
    after: Annotated[int | None, Query(ge=0)] = None,
    rows: bool = False,
) -> Response:
    """The log. rows: the lines alone, for the page that follows it."""
    info = run_of(server, visitor, run)
    view = RunLog(server.database).view(run, LogFilter(level, node, find), before=before, after=after, limit=LINES)
    fields = {name: value for name, value in (("level", level), ("node", node), ("find", find)) if value}
    return run_view(request, server, "log_rows" if rows else "run_log", visitor, info, view=view, level=level, node=node, find=find,
        query=urlencode(fields), follow=before is None and info.state != "ended",
    )  # fmt: skip


@router.get("/runs/{run}/log.txt")
def raw_log(run: str, server: Server, visitor: Looker) -> Response:
    """The whole log as text, as it was written."""
    info = run_of(server, visitor, run)

    def text() -> Any:
        after = 0
        while True:
            found = server.runs.lines(run, after=after, limit=RAW_LINES)
            yield "".join(f"{line.time:.3f} {line.level} {line.node} {line.text}\n" for line in found.lines)
            if not found.lines or found.next == after:
                return
            after = found.next

    headers = {"Content-Disposition": f'attachment; filename="{info.id}.log"'}
    return StreamingResponse(text(), media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/runs/{run}/spec")
def spec_page(run: str, request: Request, server: Server, visitor: Looker) -> Response:
    """The spec as it was written."""
    info = run_of(server, visitor, run)
    return run_view(
        request, server, "run_spec", visitor, info, asked=server.runs.request(run, visitor.identity.projects)
    )


@router.get("/runs/{run}/spec.yaml")
def raw_spec(run: str, server: Server, visitor: Looker) -> Response:
    """The spec's text alone."""
    info = run_of(server, visitor, run)
    asked = server.runs.request(run, visitor.identity.projects)
    headers = {"Content-Disposition": f'attachment; filename="{info.id}.yaml"'}
    return PlainTextResponse(asked.spec, headers=headers)


@router.post("/runs/{run}/cancel")
async def cancel(run: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Ask a run to stop."""
    await api.cancel(run, Cancellation(reason=fields.get("reason", "")[:1000]), server, visitor.identity)
    return RedirectResponse(f"/runs/{run}", 303)


@router.post("/runs/{run}/resume")
async def resume(run: str, server: Server, visitor: Looker, fields: Fields) -> Response:
    """Queue a run again that ended without its result."""
    await api.resume(run, server, visitor.identity)
    return RedirectResponse(f"/runs/{run}", 303)


@router.get("/runs/{run}/events")
async def run_events(
    run: str,
    server: Server,
    visitor: Looker,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """The events of the API, for a page of this session."""
    return await event_stream(server, visitor.identity, run, first_line(last_event_id, after))
