"""`pipe token` and `pipe project`: what an admin of a server does."""

from __future__ import annotations

import sys

from swath import units
from swath.cli.commands.remote_runs import client_of
from swath.errors import UsageError


def create_token(name: str, kind: str, role: str, project: str | None, valid_s: float | None) -> int:
    """Create a token and print it: it is shown this once."""
    body = {"name": name, "kind": kind, "role": role, "project": project, "valid_s": valid_s}
    print(client_of().call("POST", "/tokens", body)["token"])
    print("it is shown this once: keep it where secrets are kept", file=sys.stderr)
    return 0


def list_tokens() -> int:
    """List tokens, without the tokens themselves."""
    print(f"{'NAME':24} {'KIND':6} {'ROLE':8} {'PROJECT':16} USED")
    for token in client_of().call("GET", "/tokens"):
        used = units.local_time(token["used"]) if token["used"] else "never"
        role, project = (
            (token["role"], token["project"] or "all") if token["owner"] is None else ("-", f"{token['owner']}'s")
        )
        print(f"{token['name']:24} {token['kind']:6} {role:8} {project:16} {used}")
    return 0


def revoke_token(name: str) -> int:
    """Make a token worthless."""
    client_of().call("DELETE", f"/tokens/{name}")
    return 0


def add_project(name: str, folder: str | None, git: str | None, ref: str | None, path: str | None) -> int:
    """Add a project whose code is in a folder of the agents' machines, or in a git repository."""
    if (folder is None) == (git is None):
        raise UsageError("a project has a folder or a repository", remedy="give --folder DIR or --git URL")
    if git is None and (ref is not None or path is not None):
        raise UsageError("--ref and --path are of a repository", remedy="give --git URL, too")
    values = {"folder": folder, "git": git, "ref": ref, "path": path}
    source = {key: value for key, value in values.items() if value is not None}
    client_of().call("PUT", f"/projects/{name}", {"source": source})
    return 0


def limit_project(name: str, key: str, most: str) -> int:
    """Set a limit of a project, or take it away."""
    if most != "none" and not most.isdecimal():
        raise UsageError(f"{most!r} is not a number of runs", remedy="a number, or none")
    client_of().call("PUT", f"/projects/{name}/limits/{key}", {"most": None if most == "none" else int(most)})
    return 0
