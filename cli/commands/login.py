"""`pipe login`: store a token for a server, after a question whether it is one."""

from __future__ import annotations

import getpass
import socket
import sys
from urllib.parse import parse_qs, urlsplit

from swath.errors import UsageError
from swath.protocol.client import Client
from swath.protocol.logins import Login, Logins
from swath.protocol.tokens import token_kind


def login(url: str, user: str | None = None) -> int:
    """Ask for a token or a sign-in link, or a user's password, or read it from stdin where that is no terminal."""
    word = _asked("password: " if user else "token or sign-in link: ")
    if user is not None:
        token = _exchanged(url, {"name": user, "password": word})
    elif token_kind(link := _link_word(word)) == "link":
        token = _exchanged(url, {"link": link})
    elif token_kind(word) == "user":
        token = word
    else:
        raise UsageError(
            "this is not a user's token of a swath server", remedy="an admin makes one: pipe token create NAME"
        )
    client = Client(url, token)
    me = client.me()
    Logins.of_user().save(Login(client.url, token))
    roles = [f"{role} of project {project}" for project, role in sorted(me.roles.items())]
    roles += [f"{me.role} of all projects"] if me.role else []
    print(f"signed in to {client.url} as {me.name}: {', '.join(roles) or 'in no project yet'}", file=sys.stderr)
    return 0


def _asked(prompt: str) -> str:
    return (getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()).strip()


def _link_word(text: str) -> str:
    """The word of a sign-in link."""
    return parse_qs(urlsplit(text).query).get("link", [text])[0] if "?" in text else text


def _exchanged(url: str, proof: dict[str, str]) -> str:
    """A token of the user for this machine; an earlier one becomes worthless."""
    machine = "".join(
        letter for letter in socket.gethostname() if letter.isascii() and (letter.isalnum() or letter in ".-")
    )
    found: str = Client(url, "").call("POST", "/login", {**proof, "machine": machine.lstrip(".-")[:60] or "machine"})[
        "token"
    ]
    return found
