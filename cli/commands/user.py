"""`pipe user` and `pipe project member`: people of a server."""

from __future__ import annotations

import getpass
import sys

from swath.cli.commands.remote_runs import client_of
from swath.cli.render.terminal_text import printable
from swath.errors import UsageError


def add_user(name: str, email: str, *, admin: bool) -> int:
    """Add a user and print the sign-in link."""
    _print_link(client_of().call("POST", "/users", {"name": name, "email": email, "admin": admin})["link"])
    return 0


def create_link(name: str) -> int:
    """Print a new sign-in link of a user."""
    _print_link(client_of().call("POST", f"/users/{name}/link")["link"])
    return 0


def _print_link(link: str) -> None:
    print(link)
    print("it signs in once, within a day: give it to that user only", file=sys.stderr)


def list_users() -> int:
    """List users and their roles."""
    print(f"{'USER':24} {'STATE':9} ROLES")
    for user in client_of().call("GET", "/users"):
        state = "disabled" if user["disabled"] else "password" if user["password"] else "link only"
        roles = ["admin"] if user["admin"] else []
        roles += [f"{role} of {project}" for project, role in user["roles"].items()]
        print(f"{printable(user['name']):24} {state:9} {', '.join(roles) or '-'}")
    return 0


def let_in(name: str, *, disabled: bool) -> int:
    """Let a user in no more, or again."""
    client_of().call("PATCH", f"/users/{name}", {"disabled": disabled})
    return 0


def set_password(name: str | None) -> int:
    """Set a password: one's own, or as an admin somebody else's."""
    client = client_of()
    me = client.me()
    user = name or me.name
    own = me.person and user == me.name
    if own or name is not None:
        client.call("PUT", f"/users/{user}/password", _passwords(own))
        return 0
    raise UsageError(f"{me.name} is a token of nobody", remedy="name the user")


def _passwords(own: bool) -> dict[str, str]:
    if not sys.stdin.isatty():
        lines = [line.rstrip("\n") for line in sys.stdin.readlines(4096)]
        return {"password": lines[-1] if lines else "", **({"old": lines[0]} if own and len(lines) > 1 else {})}
    old = {"old": getpass.getpass("present password (empty if there is none): ")} if own else {}
    password = getpass.getpass("new password: ")
    if getpass.getpass("once more: ") != password:
        raise UsageError("these are two passwords")
    return {"password": password, **old}


def set_role(project: str, name: str, role: str) -> int:
    """Give a user a role in a project, or take it away."""
    client = client_of()
    if role == "none":
        client.call("DELETE", f"/projects/{project}/members/{name}")
    else:
        client.call("PUT", f"/projects/{project}/members/{name}", {"role": role})
    return 0


def list_members(project: str) -> int:
    """List the users of a project with their roles."""
    for name, role in client_of().call("GET", f"/projects/{project}/members").items():
        print(f"{printable(name):24} {role}")
    return 0
