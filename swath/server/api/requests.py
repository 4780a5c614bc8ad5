"""What every route does first: who asks, and may they ask so often; and how errors become answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from swath.errors import SpecError, StateError, SwathError
from swath.protocol.messages import Problem, ProblemPlace
from swath.server.api.cookies import check_change, session_secret
from swath.server.audit import note_request
from swath.server.database.database import DatabaseUnavailable
from swath.server.identity import Identity
from swath.server.refusals import Refusal, TooMany, Unauthorized
from swath.server.services import Services
from swath.version import __version__

log = logging.getLogger(__name__)
PROBLEM = "application/problem+json"
MOST_MISTAKES = 100
"""Of a spec, in one answer."""
VERSION_HEADER = "Swath-Version"
InPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name in a path."""


def services_of(request: Request) -> Services:
    """The parts of the server that got this request."""
    found: Services = request.app.state.services
    return found


async def identity_of(request: Request) -> Identity:
    """Who asks: by a token, or else by the cookie of a session. Raises Unauthorized, TooMany, and Forbidden for a change that comes
    with a cookie but from no page of that session."""
    services = services_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    address = request.client.host if request.client else ""
    secret = None if scheme else session_secret(request)
    try:
        if secret:
            found = await run_in_threadpool(services.sessions.find, secret)
        elif scheme.lower() != "bearer" or not token:
            raise Unauthorized(
                "a token is needed", remedy="send `Authorization: Bearer TOKEN`; `pipe login URL` stores one"
            )
        else:
            found = await run_in_threadpool(services.accounts.identify, token.strip())
    except Unauthorized:
        services.failures.take(address)
        raise
    note_request("session" if found.session else found.token, address)
    services.rate.take(found.id)
    if secret:
        await check_change(request, secret)
    return found


Server = Annotated[Services, Depends(services_of)]
Asker = Annotated[Identity, Depends(identity_of)]


def problem(status: int, error: SwathError, title: str = "") -> JSONResponse:
    """The answer for an error."""
    content = Problem(
        title=title or type(error).__name__,
        status=status,
        detail=error.message,
        exit_code=error.exit_code,
        remedy=error.remedy,
        mistakes=places_of(error),
    )
    headers = {"Retry-After": "2"} if status in (429, 503) else {}
    return JSONResponse(content.model_dump(), status, headers, PROBLEM)


def places_of(error: SwathError) -> tuple[ProblemPlace, ...]:
    """The mistakes of a spec."""
    if not isinstance(error, SpecError):
        return ()
    return tuple(
        ProblemPlace(line=each.line, column=each.column, field=each.field, message=each.message)
        for each in error.mistakes[:MOST_MISTAKES]
    )


def http_status(error: SwathError) -> int:
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, SpecError):
        return 422
    if isinstance(error, (DatabaseUnavailable, StateError)):
        return 503
    return 500


async def _swath_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SwathError)
    return problem(http_status(error), public_error(error))


def public_error(error: SwathError) -> SwathError:
    """The error as others may read it: one of the database names hosts and files, which are nobody else's business."""
    if isinstance(error, (DatabaseUnavailable, StateError)):
        log.warning("%s", error.message)
        return DatabaseUnavailable(
            "the server's database does not answer", remedy="try again; the server's log says more"
        )
    return error


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Only where and what: the values that were sent may be secret.
    found = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:10])
    return problem(422, Refusal(found), "Invalid request")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, Refusal(str(error.detail)), str(error.detail))


async def _fault(request: Request, error: Exception) -> Response:
    return problem(500, SwathError("the server failed; its log has the details"), "Internal error")


def add_error_answers(app: FastAPI) -> None:
    """Errors become application/problem+json."""
    app.add_exception_handler(SwathError, _swath_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)


class Guard:
    """The first to see a request: refuses other hosts' names (DNS rebinding) and bodies that are too large. ASGI middleware."""

    def __init__(self, app: object, services: Services, hosts: frozenset[str]) -> None:
        self._app: Callable[..., Awaitable[None]] = app  # type: ignore[assignment]
        self._limit = services.limits.body
        self._hosts = hosts

    async def __call__(
        self, scope: dict[str, object], receive: Callable[[], Awaitable[dict[str, object]]], send: object
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}  # type: ignore[attr-defined]
        refusal: JSONResponse | None = None
        if _host(headers.get("host", "")) not in self._hosts:
            refusal = problem(
                403, Refusal("this server is not known under that name", remedy="start it with --url"), "Wrong host"
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit:
            refusal = problem(413, TooMany(f"a request may have {self._limit:,} bytes"), "Too large")
        if refusal is not None:
            await refusal(scope, receive, send)  # type: ignore[arg-type]
            return
        taken = 0

        async def counted() -> dict[str, object]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))  # type: ignore[arg-type]
            if taken > self._limit:
                raise TooMany(f"a request may have {self._limit:,} bytes", status=413)
            return message

        await self._app(scope, counted, send)


def _host(header: str) -> str:
    """The name in a Host header, without the port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].lower()


def add_version(app: FastAPI) -> None:
    """Every answer says which version gave it, and is not to be cached or sniffed."""

    @app.middleware("http")
    async def say(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        began = time.monotonic()
        response = await call_next(request)
        services_of(request).requests.add(request.method, response.status_code, time.monotonic() - began)
        response.headers[VERSION_HEADER] = __version__
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
