"""The cookie of a session, and what keeps pages of other sites from using it."""

from __future__ import annotations

import contextlib
import hmac
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from swath.server.refusals import Forbidden
from swath.server.services import Services
from swath.server.sessions import csrf_word

CSRF_HEADER = "Swath-CSRF"
CSRF_FIELD = "csrf"
"""Of a form that is sent as application/x-www-form-urlencoded."""
READING = frozenset({"GET", "HEAD"})
_FORM = "application/x-www-form-urlencoded"
_PORTS = {"http": ":80", "https": ":443"}


def cookie_name(request: Request) -> str:
    """Of the cookie: the prefix keeps other hosts of the domain from setting it; without TLS, ports of a host share their cookies."""
    services: Services = request.app.state.services
    return "__Host-swath" if request.app.state.secure else f"swath_{services.identity[:8]}"


def session_secret(request: Request) -> str | None:
    """The session's secret that a request brings; None if it brings none."""
    return request.cookies.get(cookie_name(request))


def set_session(request: Request, response: Response, secret: str) -> None:
    """Let an answer begin a session in the browser."""
    services: Services = request.app.state.services
    response.set_cookie(
        cookie_name(request), secret, max_age=int(services.sessions.limits.most_s), path="/", httponly=True,
        secure=request.app.state.secure, samesite="lax",
    )  # fmt: skip


def clear_session(request: Request, response: Response) -> None:
    """Let an answer end the session in the browser."""
    response.delete_cookie(
        cookie_name(request), path="/", httponly=True, secure=request.app.state.secure, samesite="lax"
    )


def csrf_of(request: Request) -> str:
    """What the session's pages send back with a change: in the header CSRF_HEADER or the form field CSRF_FIELD. Empty without one."""
    secret = session_secret(request)
    return csrf_word(secret) if secret else ""


def check_origin(request: Request, *, needed: bool) -> None:
    """Raise Forbidden for a request from a page of another site. needed: also for one that does not say where it comes from."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None and not needed:
        return  # no browser of our days
    if (site == "same-origin") if site is not None else _own(request, origin):
        return
    raise Forbidden("a page of another site may not ask this", remedy="use the pages of this server, or a token")


async def check_change(request: Request, secret: str) -> None:
    """Raise Forbidden for a change that a session's cookie came with, and that no page of this session sent."""
    if request.method in READING:
        return
    check_origin(request, needed=True)
    sent = request.headers.get(CSRF_HEADER, "")
    if not sent and request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        with contextlib.suppress(ValueError):  # more fields than any page sends
            form = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=1000)
            sent = form.get(CSRF_FIELD, [""])[0]
    if not _equal(sent, csrf_word(secret)):
        raise Forbidden("the page is of another session", remedy="load the page again")


def _own(request: Request, origin: str | None) -> bool:
    scheme = "https" if request.app.state.secure else "http"
    try:
        parts = urlsplit(origin or "")
    except ValueError:
        return False
    host = request.headers.get("host", "").lower().removesuffix(_PORTS[scheme])
    return parts.scheme == scheme and parts.netloc.lower().removesuffix(_PORTS[scheme]) == host


def _equal(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(errors="replace"), expected.encode())
