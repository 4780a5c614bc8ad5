"""What all pages of one run have in common: who may see it and change it, and which pages it has."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from swath.protocol.messages import RunInfo
from swath.server.identity import Identity
from swath.server.pages.page_session import Visitor
from swath.server.pages.render import page
from swath.server.published_files import TIFF, numbered
from swath.server.refusals import NotFound
from swath.server.services import Services


def run_of(server: Services, visitor: Visitor, run: str) -> RunInfo:
    """A run that somebody may see. Raises NotFound and Forbidden."""
    visitor.identity.require("viewer")
    return server.runs.get(run, visitor.identity.projects, server.agents.all())


def run_view(
    request: Request, server: Services, template: str, visitor: Visitor, run: RunInfo, **context: Any
) -> Response:
    """A page of a run."""
    tabs = [("", "Now"), ("/log", "Log"), ("/spec", "Spec"), ("/files", "Files")]
    if server.published.here and numbered(run, media=TIFF):
        tabs.insert(1, ("/map", "Map"))
    if server.published.here and numbered(run, "report.html"):
        tabs.append(("/report", "Report"))
    return page(
        request, template, visitor=visitor, csrf=visitor.csrf, run=run, may=may_change(visitor.identity, run), tabs=tabs,
        **context,
    )  # fmt: skip


def may_change(who: Identity, run: RunInfo) -> bool:
    """Whether somebody may stop and resume a run."""
    role = who.role_in(run.project)
    return role in ("keeper", "admin") or (role == "runner" and run.requested_by == who.name)


def preview_of(server: Services, run: RunInfo) -> int | None:
    """The number of the preview of a run's map, where it can be shown."""
    for number, _ in numbered(run, "preview.png"):
        try:
            server.published.path(run, number)
        except NotFound:
            continue
        return number
    return None
