"""Pages of signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from swath.errors import SwathError
from swath.server.api.cookies import clear_session, set_session
from swath.server.api.requests import Server, http_status
from swath.server.api.sessions import open_session
from swath.server.pages.form_body import form_fields
from swath.server.pages.page_session import Fields, Looker
from swath.server.pages.render import page
from swath.server.refusals import Refusal, TooMany, Unauthorized
from swath.server.services import Services

router = APIRouter()
Next = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
def sign_in_page(request: Request, server: Server, next: Next = "/runs", link: Next = "") -> Response:  # noqa: A002 - as the address says
    """The form; with a link the button that uses it: one that is only fetched must not be used up."""
    return sign_in_form(request, server, target=inside(next), link=link)


@router.post("/sign-in")
async def sign_in(request: Request, server: Server) -> Response:
    """Begin a session, with name and password or the word of a link."""
    fields = await form_fields(request)
    target = inside(fields.get("next", ""))
    try:
        secret = await open_session(
            server, request, name=fields.get("name", "").strip(), password=fields.get("password", ""),
            link=fields.get("link", "").strip(),
        )  # fmt: skip
    except (Unauthorized, TooMany) as error:
        return sign_in_form(request, server, http_status(error), target=target, problem=error)
    response = RedirectResponse(target, 303)
    set_session(request, response, secret)
    return response


@router.post("/sign-out")
def sign_out(request: Request, server: Server, visitor: Looker, fields: Fields) -> Response:
    """End the session."""
    if not visitor.identity.session:
        raise Refusal("this is no session")
    server.sessions.end(visitor.identity)
    response = RedirectResponse("/sign-in", 303)
    clear_session(request, response)
    return response


def sign_in_form(
    request: Request,
    server: Services,
    status: int = 200,
    *,
    target: str,
    link: str = "",
    problem: SwathError | None = None,
) -> Response:
    """The page that signs in. target: where it goes on; problem: of the try before."""
    provider = server.oidc.name if server.oidc is not None else ""
    return page(request, "sign_in", status, next=target, link=link, problem=problem, provider=provider)


def inside(address: str) -> str:
    """An address of this server to go on at; the runs for any other."""
    plain = address.startswith("/") and not address.startswith("//") and "\\" not in address and address.isprintable()
    return address if plain else "/runs"
