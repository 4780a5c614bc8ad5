"""Who looks at a page: the session of a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from swath.server.api.cookies import csrf_of, session_secret
from swath.server.api.requests import identity_of
from swath.server.identity import Identity
from swath.server.pages.form_body import form_fields
from swath.server.refusals import Unauthorized


class SignInNeeded(Unauthorized):
    """Nobody has signed in with this browser."""

    def __init__(self, path: str) -> None:
        super().__init__("sign in first")
        self.address = f"/sign-in?next={quote(path)}"
        """Of the page that signs in, and then goes on here."""


@dataclass(frozen=True)
class Visitor:
    """Somebody at a page."""

    identity: Identity
    csrf: str
    """Word that every form of this session carries."""


async def visitor_of(request: Request) -> Visitor:
    """Who looks. Raises SignInNeeded; Forbidden for a form that no page of this session sent."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    path = path if request.method == "GET" else "/runs"
    if session_secret(request) is None:
        raise SignInNeeded(path)
    try:
        return Visitor(await identity_of(request), csrf_of(request))
    except Unauthorized:
        raise SignInNeeded(path) from None


Looker = Annotated[Visitor, Depends(visitor_of)]


async def fields_of(request: Request, visitor: Looker) -> dict[str, str]:
    """The fields of a form that a page of the visitor's session sent."""
    return await form_fields(request)


Fields = Annotated[dict[str, str], Depends(fields_of)]
