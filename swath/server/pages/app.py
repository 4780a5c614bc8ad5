"""The pages as an application of their own, below which the API's routes come first: errors are pages, not JSON."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from swath.errors import SwathError
from swath.server.api.requests import http_status, problem, public_error
from swath.server.pages import (
    agents_page,
    assets,
    new_run,
    oidc,
    people_page,
    run_files,
    run_page,
    runs_page,
    sign_in,
    triggers_page,
)
from swath.server.pages.page_session import SignInNeeded
from swath.server.pages.render import page
from swath.server.refusals import Refusal
from swath.server.services import Services


def create_pages(services: Services, *, secure: bool, url: str) -> FastAPI:
    """The pages, to be mounted after everything else. secure, url: see swath.server.app.create_app."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services, app.state.secure, app.state.url = services, secure, url
    for router in (
        assets.router,
        sign_in.router,
        oidc.router,
        agents_page.router,
        people_page.router,
        new_run.router,
        runs_page.router,
        run_page.router,
        run_files.router,
        triggers_page.router,
    ):
        app.include_router(router)
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(SwathError, _swath_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return app


async def _sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    return RedirectResponse(error.address, 303)


async def _swath_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SwathError)
    return _error(request, http_status(error), public_error(error))


async def _invalid(request: Request, error: Exception) -> Response:
    return _error(request, 422, Refusal("the address has a value that this page does not know"))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = "there is no such page" if error.status_code == 404 else str(error.detail)
    return _error(request, error.status_code, Refusal(what))


async def _fault(request: Request, error: Exception) -> Response:
    return _error(request, 500, SwathError("the server failed; its log has the details"))


def _error(request: Request, status: int, error: SwathError) -> Response:
    if request.url.path.startswith("/api/"):
        return problem(status, error)
    return page(request, "error", status, problem=error, status_code=status)
