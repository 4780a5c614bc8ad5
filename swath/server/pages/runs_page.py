"""The page of all runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from swath.server.api.requests import Server
from swath.server.pages.page_session import Looker
from swath.server.pages.render import page
from swath.server.pages.run_view import preview_of
from swath.server.runs import waits_for

router = APIRouter()
ROWS = 50
SHOWN = ("all", "queued", "running", "done", "failed")
"""Filters by how a run stands."""
Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True)
class RunsFilter:
    """What the page is asked to show."""

    show: str = "all"
    project: str = ""
    pipeline: str = ""
    by: str = ""
    find: str = ""

    def address(self, **changed: str) -> str:
        """The page with some fields changed, from its first row."""
        fields = {name: value for name, value in (vars(self) | changed).items() if value and value != "all"}
        return "/runs" + (f"?{urlencode(fields)}" if fields else "")


@router.get("/")
def start() -> Response:
    """The first page."""
    return RedirectResponse("/runs", 303)


@router.get("/runs")
def runs_page(
    request: Request,
    server: Server,
    visitor: Looker,
    show: Literal["all", "queued", "running", "done", "failed"] = "all",
    project: Text = "",
    pipeline: Text = "",
    by: Text = "",
    find: Text = "",
    cursor: Text = "",
) -> Response:
    """Runs, newest first."""
    who = visitor.identity
    who.require("viewer", project or None)
    wanted = RunsFilter(show, project, pipeline, by, find.strip())
    found = server.runs.page(
        (project,) if project else who.projects, pipeline=pipeline or None, requested_by=by or None, find=wanted.find,
        cursor=cursor or None, limit=ROWS, state=show if show in ("queued", "running") else None,
        status="done" if show == "done" else None, failed=show == "failed",
    )  # fmt: skip
    agents = server.agents.all()
    runs = [
        run.model_copy(update={"waits_for": waits_for(run, agents)}) if run.state == "queued" else run
        for run in found.runs
    ]
    older = f"{wanted.address()}{'&' if '?' in wanted.address() else '?'}{urlencode({'cursor': found.next or ''})}"
    previews = {run.id: number for run in runs if (number := preview_of(server, run)) is not None}
    projects = [each["name"] for each in server.projects.all() if who.projects is None or each["name"] in who.projects]
    return page(
        request, "runs", visitor=visitor, csrf=visitor.csrf, runs=runs, wanted=wanted, older=older if found.next else "",
        live=server.live.of([run.id for run in runs if run.state == "running"]), first=not cursor, shown=SHOWN,
        projects=projects, previews=previews,
    )  # fmt: skip
