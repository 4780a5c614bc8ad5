"""`pipe server` and `pipe serve`: the server, alone or with an agent for this project."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from swath import units
from swath.errors import MissingExtra, SwathError
from swath.owned_file import replace_text
from swath.server.database.backup import copy_database
from swath.server.database.open import open_database, version_of
from swath.server.database.schema import STEPS
from swath.server.oidc.oidc_file import client_secret, read_oidc_file
from swath.server.oidc.provider import Provider
from swath.server.retention import Keep
from swath.server.serving import ADMIN, FILE, LOOPBACK, ListenAddress, Server

if TYPE_CHECKING:
    from swath.agent.agent import Agent

USER, AGENT = "this-user", "this-machine"
"""Of the server of one project: the only user, and the token of the agent."""


def serve(
    address: ListenAddress, folder: Path, database: str | None, keep: Keep = Keep(), oidc: Path | None = None
) -> int:
    """Run a server until it is told to end. oidc: the file of its identity provider."""
    _check_installed()
    server = Server(address, folder, database, keep, provider=None if oidc is None else _provider(oidc))
    file = server.first_token()

    place = address.url.rstrip("/") or server.url

    def ready() -> None:
        _print(f"the server is at {place}; Ctrl-C ends it, runs go on")
        if file is not None:
            link = server.services.sign_in.new_link(ADMIN, who="the first start")
            _print(f"the first admin signs in once, within a day, at {place}/sign-in?link={link}")
            _print(f"the first admin's token, for programs, is in {file}: pipe login {place} < {file}")

    return _until_told(lambda: server.run(ready))


def _provider(file: Path) -> Provider:
    settings = read_oidc_file(file)
    return Provider(settings, client_secret(settings, file.parent))


def back_up(folder: Path, target: Path) -> int:
    """`pipe server backup`: copy the database of a server that may go on meanwhile."""
    size = copy_database(folder / FILE, target)
    _print(f"{target}: {units.size(size)}")
    return 0


def upgrade(folder: Path, database: str | None, *, check: bool) -> int:
    """`pipe server upgrade`: bring the tables of a database to this version, or tell what that would change."""
    if check:
        found, known = (version_of(database or str(folder / FILE)), len(STEPS))
        what = "nothing is to be done" if found == known else f"{known - found} steps are to be done"
        _print(f"the database has version {found}, this swath writes version {known}: {what}")
        return 0
    open_database(database or str(folder / FILE)).close()
    _print(f"the database has version {len(STEPS)}")
    return 0


def serve_project(start: Path, port: int, slots: int) -> int:
    """Run a server and an agent for the project around a folder, on this machine only."""
    _check_installed()
    from swath.agent.agent import Agent
    from swath.agent.spec_check import FolderSpecCheck
    from swath.project.project import Project
    from swath.protocol.client import Client
    from swath.protocol.logins import SERVER, Login, Logins

    project = Project.find(start)
    folder = project.state / "server"
    server = Server(ListenAddress(port=port), folder, files_here=True, local_check=FolderSpecCheck())
    services, name = server.services, _name(project.root)
    services.projects.put(name, {"folder": str(project.root)}, who="pipe serve")
    user = _own_token(server)
    logins = Logins.of_user()
    other = logins.default()
    others = other is not None and other != server.url and urlsplit(other).hostname not in LOOPBACK
    logins.save(Login(server.url, user), default=not others)
    agent = Agent(
        Client(server.url, _agent_token(server)), _name(Path(socket.gethostname())),
        folder / "agent", slots=slots, say=_print,
    )  # fmt: skip
    thread = threading.Thread(target=_work, args=(agent,), name="agent", daemon=True)

    def ready() -> None:
        prefix = (
            f"{SERVER}={server.url} " if others else ""
        )  # the server that this user has signed in to stays the default
        _print(
            f"project {name} is served at {server.url}; start a run from any folder: {prefix}pipe submit SPEC --project {name}"
        )
        if others:
            _print(f"without {SERVER}, `pipe submit` asks {other}")
        elif other not in (None, server.url):
            _print(f"`pipe submit` asks this server now, not {other} any more")
        token = f"$(cat {shlex.quote(str(folder / 'token'))})"
        address = f"{server.url}/api/v1/projects/{name}/runs"
        _print(f'with curl: curl -s -H "Authorization: Bearer {token}" --data-binary @SPEC {address}')
        link = services.sign_in.new_link(USER, who="pipe serve")
        _print(f"in a browser, signed in once: {server.url}/sign-in?link={link}")
        _print("Ctrl-C ends the server, runs go on")
        thread.start()

    replace_text(folder / "token", user + "\n")
    try:
        return _until_told(lambda: server.run(ready))
    finally:
        agent.stop()
        if thread.ident is not None:
            thread.join(5)


def _own_token(server: Server) -> str:
    """A new token of this machine's user, who is admin of the server; the earlier one becomes worthless."""
    services = server.services
    _revoke(server, USER)
    return services.accounts.create_own(services.users.ensure_admin(USER, who="pipe serve"), USER)


def _agent_token(server: Server) -> str:
    """A new token of this machine's agent; the earlier one becomes worthless."""
    _revoke(server, AGENT)
    return server.services.accounts.create("agent", AGENT, "runner", who="pipe serve")


def _revoke(server: Server, name: str) -> None:
    if any(token["name"] == name for token in server.services.accounts.tokens()):
        server.services.accounts.revoke(name, who="pipe serve")


def _work(agent: Agent) -> None:
    try:
        agent.run()
    except SwathError as error:
        _print(f"the agent has ended: {error}")


def _name(path: Path) -> str:
    """A project's or an agent's name for a folder or a host."""
    text = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in path.name
    )
    return text.lstrip("._-")[:60] or f"project-{secrets.token_hex(2)}"


def _until_told(run: Callable[[], None]) -> int:
    """Run until a signal; SIGINT and SIGTERM are how a server ends, so they are no failure."""
    with _quiet_end(), contextlib.suppress(KeyboardInterrupt):
        run()
    return 0


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    """uvicorn raises the signal again that ended it: a SIGTERM would then end this process before it has closed everything."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_installed() -> None:
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "server", "a server")


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
