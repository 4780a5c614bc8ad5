"""The pages of what a run has published, where it is on the server's machine: files, the map, the report."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from swath.server.api.requests import Server
from swath.server.pages.page_session import Looker
from swath.server.pages.run_view import run_of, run_view
from swath.server.published_files import TIFF, numbered
from swath.server.refusals import NotFound

router = APIRouter()
REPORT = "report.html"
PREVIEW = "preview.png"
SHOWN = {
    "image/png": "image/png",
    TIFF: "image/tiff",
    "application/json": "application/json",
    "application/geo+json": "application/geo+json",
    "text/csv": "text/plain; charset=utf-8",
    "text/html": "text/html; charset=utf-8",
}
"""Media types that a browser may show, and what it is told; all others are downloads."""
SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'"
)
"""A published file is text of others: it has no script, no form, and nothing of the session."""


@router.get("/runs/{run}/files")
def files_page(run: str, request: Request, server: Server, visitor: Looker) -> Response:
    """What was published."""
    info = run_of(server, visitor, run)
    return run_view(request, server, "run_files", visitor, info, readable=server.published.readable(info))


@router.get("/runs/{run}/raw/{number}/{name}")
def raw_file(run: str, number: int, name: str, server: Server, visitor: Looker, download: bool = False) -> Response:
    """One published file, or ranges of it."""
    info = run_of(server, visitor, run)
    path = server.published.path(info, number)
    file = info.files[number]
    if name != PurePosixPath(file.place).name:
        raise NotFound("the run has no such file")
    media = None if download else SHOWN.get(file.media)
    return FileResponse(
        path,
        media_type=media or "application/octet-stream",
        filename=name,
        content_disposition_type="inline" if media else "attachment",
        headers={
            "Content-Security-Policy": SANDBOX,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "private, no-cache",
        },
    )


@router.get("/runs/{run}/map")
def map_page(run: str, request: Request, server: Server, visitor: Looker, file: int | None = None) -> Response:
    """The map, read by ranges in the browser; without scripts its preview."""
    info = run_of(server, visitor, run)
    maps = numbered(info, media=TIFF)
    if not maps:
        raise NotFound("this run has published no map")
    number = maps[0][0] if file is None else file
    if number not in dict(maps):
        raise NotFound("the run has no such map")
    problem = ""
    try:
        server.published.path(info, number)
    except NotFound as error:
        problem = error.message
    bands = server.published.bands(info, number)
    colors = json.dumps({"classes": [[each.value, each.color] for each in bands.classes], "span": bands.span})
    folder = PurePosixPath(info.files[number].place).parent
    previews = [each for each in numbered(info, PREVIEW) if PurePosixPath(each[1].place).parent == folder]
    return run_view(
        request, server, "run_map", visitor, info, maps=maps, number=number, bands=bands, colors=colors, problem=problem,
        preview=previews[0][0] if previews and not problem else None, name=PurePosixPath(info.files[number].place).name,
    )  # fmt: skip


@router.get("/runs/{run}/report")
def report_page(run: str, request: Request, server: Server, visitor: Looker) -> Response:
    """The run's report, in a frame where it can do nothing."""
    info = run_of(server, visitor, run)
    reports = numbered(info, REPORT)
    if not reports:
        raise NotFound("this run has published no report")
    server.published.path(info, reports[0][0])
    return run_view(request, server, "run_report", visitor, info, number=reports[0][0])
