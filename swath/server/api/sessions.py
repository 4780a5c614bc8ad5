"""Routes of people: signing in and out, who they are, and their own tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from swath.protocol.messages import Me, Message, Name
from swath.server.api.cookies import check_origin, clear_session, csrf_of, session_secret, set_session
from swath.server.api.requests import Asker, InPath, Server
from swath.server.audit import note_request
from swath.server.identity import Identity
from swath.server.passwords import LONGEST
from swath.server.refusals import Forbidden, Refusal, Unauthorized
from swath.server.services import Services
from swath.server.sessions import csrf_word

router = APIRouter(tags=["people"])


class SignInBody(Message):
    """A name and a password, or the word of a sign-in link."""

    name: Annotated[str, Field(max_length=100)] = ""
    password: Annotated[str, Field(max_length=LONGEST)] = ""
    link: Annotated[str, Field(max_length=100)] = ""


class LoginBody(SignInBody):
    """A sign-in of a program on a machine."""

    machine: Name


class OwnTokenBody(Message):
    """A token for one's own programs."""

    name: Name
    valid_s: float | None = Field(default=None, gt=0)


def person(who: Identity) -> Identity:
    """Who asks, where that is a person or a token of one. Raises Forbidden."""
    if not who.user:
        raise Forbidden(
            f"{who.name} is a token of nobody: this is for people", remedy="an admin adds a user: POST /users"
        )
    return who


async def open_session(
    services: Services, request: Request, *, name: str = "", password: str = "", link: str = ""
) -> str:
    """The secret of a new session, by password or link, for `set_session`; the browser's earlier session ends.

    Raises Unauthorized, TooMany, and Forbidden for a page of another site.
    """
    check_origin(request, needed=False)
    address = request.client.host if request.client else ""
    note_request("", address)
    if link:
        try:
            secret = await run_in_threadpool(services.sign_in.with_link, link)
        except Unauthorized:
            services.failures.take(address)
            raise
    else:
        services.sign_in.allow(name, address)
        secret = await run_in_threadpool(services.sign_in.with_password, name, password)
    if earlier := session_secret(request):
        await run_in_threadpool(services.sessions.forget, earlier)
    return secret


async def _open(body: SignInBody, request: Request, server: Services) -> str:
    if bool(body.link) == bool(body.name and body.password):
        raise Refusal("name and password, or link", status=422)
    return await open_session(server, request, name=body.name, password=body.password, link=body.link)


@router.post("/login", status_code=201)
async def log_in(body: LoginBody, request: Request, server: Server) -> dict[str, str]:
    """Sign a program in with a password or a sign-in link: the answer has a token of the user for that machine, this once.

    An earlier token for the same machine becomes worthless.
    """
    secret = await _open(body, request, server)

    def work() -> dict[str, str]:
        who = server.sessions.find(secret)
        name = f"{who.name}.{body.machine}"[:100]
        token = server.accounts.create_own(who, name, replace=True)
        server.sessions.end(who)
        return {"name": name, "token": token}

    return await run_in_threadpool(work)


@router.post("/sessions", status_code=201)
async def sign_in(body: SignInBody, request: Request, response: Response, server: Server) -> Me:
    """Sign in with a password or a sign-in link: the answer sets a cookie."""
    secret = await _open(body, request, server)
    set_session(request, response, secret)
    return _me(await run_in_threadpool(server.sessions.find, secret), csrf_word(secret))


@router.get("/sessions")
def list_sessions(server: Server, who: Asker) -> list[dict[str, Any]]:
    """Where the asker is signed in."""
    return server.sessions.of(person(who))


@router.delete("/sessions", status_code=204)
def sign_out_everywhere(request: Request, response: Response, server: Server, who: Asker) -> None:
    """End all sessions of the asker."""
    server.sessions.end_all(person(who))
    clear_session(request, response)


@router.delete("/sessions/current", status_code=204)
def sign_out(request: Request, response: Response, server: Server, who: Asker) -> None:
    """End this session."""
    if not who.session:
        raise Forbidden("this is no session", remedy="a token is revoked: DELETE /me/tokens/NAME")
    server.sessions.end(who)
    clear_session(request, response)


@router.get("/me")
def me(request: Request, who: Asker) -> Me:
    """Who asks."""
    return _me(who, csrf_of(request) if who.session else "")


@router.get("/me/tokens")
def list_own_tokens(server: Server, who: Asker) -> list[dict[str, Any]]:
    """The asker's own tokens, without the tokens themselves."""
    return server.accounts.tokens(person(who).user)


@router.post("/me/tokens", status_code=201)
def create_own_token(body: OwnTokenBody, server: Server, who: Asker) -> dict[str, str]:
    """Create a token with which programs may do what the asker may. It is shown this once."""
    return {"name": body.name, "token": server.accounts.create_own(person(who), body.name, body.valid_s)}


@router.delete("/me/tokens/{name}", status_code=204)
def revoke_own_token(name: InPath, server: Server, who: Asker) -> None:
    """Make a token of the asker worthless."""
    server.accounts.revoke(name, who=who.name, owner=person(who).user)


def _me(who: Identity, csrf: str) -> Me:
    about = {"kind": who.kind, "name": who.name, "role": who.role or None, "roles": dict(who.roles)}
    return Me.model_validate({**about, "person": bool(who.user), "csrf": csrf})
