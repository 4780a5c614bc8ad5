"""Pages that sign in with an identity provider: to it, and back from it."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from swath.errors import SwathError
from swath.server.api.cookies import cookie_name, session_secret, set_session
from swath.server.api.requests import Server, http_status, public_error
from swath.server.audit import note_request
from swath.server.oidc.oidc_sign_in import OidcSignIn
from swath.server.pages.sign_in import inside, sign_in_form
from swath.server.refusals import NotFound
from swath.server.services import Services

router = APIRouter()
CALLBACK = "/sign-in/oidc/callback"
AWAY_S = 600
"""How long somebody may be at the provider."""
MOST_ANSWER = 8192
"""Characters of a field of the address that a browser comes back at."""
Short = Annotated[str, Query(max_length=1000)]


@router.get("/sign-in/oidc")
async def go_to_provider(request: Request, server: Server, next: Short = "/runs") -> Response:  # noqa: A002 - as the address says
    """Send the browser to the identity provider, with a word in a cookie that only this browser has."""
    oidc, target = _oidc(server), inside(next)
    try:
        oidc.allow(_address(request))
        place, word = await run_in_threadpool(oidc.begin, _back(request))
    except SwathError as error:
        return sign_in_form(request, server, http_status(error), target=target, problem=public_error(error))
    response = RedirectResponse(place, 303)
    response.set_cookie(
        _cookie(request), f"{word}.{_packed(target)}", max_age=AWAY_S, path="/", httponly=True,
        secure=request.app.state.secure, samesite="lax",
    )  # fmt: skip
    return response


@router.get(CALLBACK)
async def come_back(request: Request, server: Server) -> Response:
    """Begin a session for whom the provider has signed in. The cookie's word is used up, whatever comes of it."""
    oidc = _oidc(server)
    word, _, packed = request.cookies.get(_cookie(request), "")[:4096].partition(".")
    target = inside(_unpacked(packed))
    answer = {name: value for name, value in request.query_params.items() if len(value) <= MOST_ANSWER}
    response: Response
    try:
        note_request("", _address(request))
        oidc.allow(_address(request))
        secret = await run_in_threadpool(oidc.finish, word, answer, _back(request))
    except SwathError as error:
        response = sign_in_form(request, server, http_status(error), target=target, problem=public_error(error))
    else:
        if earlier := session_secret(request):
            await run_in_threadpool(server.sessions.forget, earlier)
        response = RedirectResponse(target, 303)
        set_session(request, response, secret)
    response.delete_cookie(_cookie(request), path="/", httponly=True, secure=request.app.state.secure, samesite="lax")
    return response


def _oidc(server: Services) -> OidcSignIn:
    if server.oidc is None:
        raise NotFound("this server has no identity provider", remedy="an admin starts it with --oidc")
    return server.oidc


def _back(request: Request) -> str:
    """Where the provider sends browsers back to: below --url, whatever name the server was asked under."""
    return f"{request.app.state.url}{CALLBACK}"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _cookie(request: Request) -> str:
    return f"{cookie_name(request)}_oidc"


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""
