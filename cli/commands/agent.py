"""`pipe agent`: claims runs of a server and executes them on this machine."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from swath.agent.supervisor import AGENT_TOKEN
from swath.errors import CredentialsError, UsageError
from swath.launchers.contract import JobLauncher
from swath.protocol.client import Client
from swath.protocol.logins import SERVER
from swath.protocol.sources import repository_address
from swath.secret_stores.reference import SecretReference


def work(
    url: str | None,
    name: str | None,
    labels: list[str],
    slots: int,
    token_file: Path | None,
    accept: list[str],
    launchers: Path | None,
) -> int:
    """Run an agent until it is told to end. Runs go on then; the next agent of this name takes them up."""
    from swath.agent.agent import Agent

    address = url or os.environ.get(SERVER)
    if not address:
        raise UsageError("an agent needs the address of its server", remedy=f"pipe agent URL, or {SERVER}")
    for repository in accept:
        try:
            repository_address(repository)
        except ValueError as error:
            raise UsageError(f"--accept {repository} {error}") from None
    opened: dict[str, JobLauncher] = {}
    secrets: dict[str, SecretReference] = {}
    if launchers is not None:
        from swath.agent.agent_file import read_agent_file
        from swath.launchers.open import open_launcher

        file = read_agent_file(launchers)
        secrets = file.references()
        for key, settings in file.launchers.items():
            opened[key] = open_launcher(settings)
            print(f"launcher {key}: {opened[key].check()}", file=sys.stderr, flush=True)
    called = name or socket.gethostname().partition(".")[0]
    agent = Agent(
        Client(address, _token(token_file, os.environ)), called, _state_folder(os.environ) / called, labels=tuple(labels),
        slots=slots, accepts=tuple(accept), launchers=opened, secrets_of_runs=secrets,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )  # fmt: skip

    def end(number: int, frame: FrameType | None) -> None:
        agent.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    print(f"agent {called} of {address}; Ctrl-C ends it, its runs go on", file=sys.stderr, flush=True)
    agent.run()
    return 0


def _token(file: Path | None, env: Mapping[str, str]) -> str:
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if token := env.get(AGENT_TOKEN):
        return token
    raise CredentialsError(
        "an agent needs a token",
        remedy=f"set {AGENT_TOKEN}, or --token-file; `pipe token create --kind agent NAME` makes one",
    )


def _state_folder(env: Mapping[str, str]) -> Path:
    """Where agents of this user keep their attempts: $XDG_STATE_HOME/swath/agents, or ~/.local/state/swath/agents."""
    base = env.get("XDG_STATE_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "swath" / "agents"
