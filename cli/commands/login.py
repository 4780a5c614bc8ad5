"""`pipe login`: store the token of a server, after a question whether it is one."""

from __future__ import annotations

import getpass
import sys

from swath.errors import UsageError
from swath.protocol.client import Client
from swath.protocol.logins import Login, Logins
from swath.protocol.tokens import token_kind


def login(url: str) -> int:
    """Ask for a token, or read it from stdin where that is no terminal."""
    token = (getpass.getpass("token: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if token_kind(token) != "user":
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
