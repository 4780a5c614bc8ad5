"""Pages from templates: everything is escaped, undefined names are errors, and the headers allow nothing from elsewhere."""

from __future__ import annotations

import datetime
import shlex
import time
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from swath import units
from swath.protocol.live import LiveNode
from swath.server.pages.assets import asset_address
from swath.server.pages.run_status import resumable, run_status
from swath.server.pages.visible_text import visible
from swath.version import __version__

CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""No script and no style within a page: text of a run that got through the escaping would still do nothing."""
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def when(seconds: float | None) -> Markup | str:
    """A time of day in UTC; the page's script shows it in the reader's zone."""
    if seconds is None:
        return "–"
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    template = Markup('<time datetime="{0}">{1} UTC</time>')
    return template.format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M}")


def ago(seconds: float | None) -> Markup | str:
    """How long ago, with the time of day behind it."""
    if seconds is None:
        return "–"
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    template = Markup('<time class="ago" datetime="{0}" title="{1}">{2}</time>')
    return template.format(
        f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S} UTC", _ago(time.time() - seconds)
    )


def clock(seconds: float) -> Markup:
    """A time of day alone."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    template = Markup('<time class="clock" datetime="{0}">{1}</time>')
    return template.format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%H:%M:%S}")


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} ago"
    return "just now" if seconds < 10 else f"{seconds:.0f} s ago"


def took(run: Any) -> str:
    """How long a run took, or has been going on."""
    if run.started is None:
        return "–"
    return units.duration((run.ended or time.time()) - run.started)


def speed(node: LiveNode) -> str:
    """The rate of a node in its best unit; empty without one."""
    if node.pixels_per_s:
        ground = f", {units.number(round(node.km2_per_s * 3600))} km²/h" if node.km2_per_s else ""
        return f"{units.significant(node.pixels_per_s / 1e6)} Mpx/s{ground}"
    return units.rate(node.calls_per_s) if node.calls_per_s else ""


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("swath.server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "visible": visible, "when": when, "ago": ago, "clock": clock, "quoted": shlex.quote, "speed": speed, "took": took,
        "duration": units.duration, "size": units.size,
        "number": units.number, "status": run_status, "resumable": resumable,
    }  # fmt: skip
    made.globals |= {"asset": asset_address, "version": __version__}
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page. `visitor` of the context is who looks; None on pages before sign-in."""
    common = {"path": request.url.path, "visitor": None, "csrf": ""}
    text = environment().get_template(f"{template}.html.j2").render(common | context)
    return HTMLResponse(text, status, HEADERS)
