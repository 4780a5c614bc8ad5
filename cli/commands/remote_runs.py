"""Runs of a server: waiting for one, its log, lists, and cancels."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TextIO

from swath import units
from swath.cli import streams
from swath.cli.render.terminal_text import printable
from swath.protocol.client import Client, ServerUnavailable
from swath.protocol.logins import Logins
from swath.protocol.messages import Line, RunInfo


def client_of() -> Client:
    """The client of the server that this user has signed in to."""
    login = Logins.of_user().find()
    return Client(login.url, login.token)


@dataclass(frozen=True)
class WaitLimits:
    """Times of a wait for a run."""

    away_s: float = 3600.0
    """How long a server may be away without an answer before the wait ends."""
    pause_s: float = 5.0
    """Between two tries, beside those that the client makes by itself."""


class Patience:
    """Waits for a server that is away for a while, and ends the wait when that is for too long."""

    def __init__(self, run: str, limits: WaitLimits) -> None:
        self._run = run
        self._limits = limits
        self._answered = time.monotonic()

    def answered(self) -> None:
        """The server has answered."""
        self._answered = time.monotonic()

    def wait(self, error: ServerUnavailable) -> None:
        """The server has not answered: wait a moment. Raises the error when it has not for too long."""
        if time.monotonic() - self._answered > self._limits.away_s:
            raise error
        print(f"{error.message}; still waiting for {self._run}", file=sys.stderr, flush=True)
        time.sleep(self._limits.pause_s)


def wait_for(client: Client, run: str, *, as_json: bool, limits: WaitLimits = WaitLimits()) -> int:
    """Wait until a run has ended, print its outputs, and return its exit code. A server that is away for a while is waited for."""
    patience = Patience(run, limits)
    while True:
        try:
            info = client.run(run, wait_s=25)
        except ServerUnavailable as error:
            patience.wait(error)
            continue
        patience.answered()
        if info.state == "ended":
            return _print_end(info, as_json=as_json)


def _print_end(info: RunInfo, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(info.model_dump(mode="json")))
    else:
        for output in info.outputs:
            print(printable(output))
    code = info.exit_code if info.exit_code is not None else 1
    told = f"{info.id} {info.status}" + (f": {printable(info.error)}" if info.error else "")
    print(f"error: {told}" if code else told, file=sys.stderr)
    return code


def follow_run(
    client: Client, run: str, level: str | None, *, as_json: bool, out: TextIO, limits: WaitLimits = WaitLimits()
) -> None:
    """Print the log lines of a run, each once, until it has ended. A server that is away for a while is waited for."""
    after, patience = 0, Patience(run, limits)
    while True:
        try:
            for line in client.follow(run, level, after=after):
                print(json.dumps(line.model_dump(mode="json")) if as_json else _text(line), file=out, flush=True)
                if streams.abandoned(out):
                    return
                after = line.id
                patience.answered()
        except ServerUnavailable as error:
            patience.wait(error)
            continue
        return


def print_log(run: str, level: str | None, *, follow: bool, as_json: bool) -> int:
    """`pipe logs --server`."""
    client = client_of()
    if follow:
        follow_run(client, run, level, as_json=as_json, out=sys.stdout)
        return 0
    after = 0
    while True:
        page = client.lines(run, after, level)
        for line in page.lines:
            print(json.dumps(line.model_dump(mode="json")) if as_json else _text(line))
        if not page.lines or streams.abandoned(sys.stdout):
            return 0
        after = page.next


def list_runs(limit: int, *, as_json: bool) -> int:
    """`pipe runs --server`."""
    page = client_of().runs(limit=limit)
    if as_json:
        for run in page.runs:
            print(json.dumps(run.model_dump(mode="json")))
        return 0
    if not page.runs:
        print("no run yet: `pipe submit SPEC` asks for one", file=sys.stderr)
        return 0
    width = max(len(run.id) for run in page.runs)
    print(f"{'RUN':{width}}  {'STATE':12} {'QUEUED':16}  {'AGENT':16} BY")
    for run in page.runs:
        state = run.status if run.state == "ended" else run.state
        agent = run.agent or "-"
        print(f"{run.id:{width}}  {state:12} {units.local_time(run.queued)}  {agent:16} {printable(run.requested_by)}")
    return 0


def cancel_remote(run: str, reason: str) -> int:
    """`pipe cancel --server`."""
    info = client_of().cancel(run, reason)
    print(f"{info.id} {'has ended' if info.state == 'ended' else 'was asked to stop'}", file=sys.stderr)
    return 0


def resume_remote(run: str) -> int:
    """`pipe resume --server`."""
    info = client_of().resume(run)
    told = f": {printable(info.waits_for)}" if info.waits_for else ""
    print(f"{info.id} is queued again{told}", file=sys.stderr)
    return 0


def list_agents(*, as_json: bool) -> int:
    """`pipe agents`."""
    agents = client_of().agents()
    if as_json:
        for agent in agents:
            print(json.dumps(agent.model_dump(mode="json")))
        return 0
    if not agents:
        print("no agent is registered: `pipe agent` starts one", file=sys.stderr)
        return 0
    print(f"{'AGENT':24} {'BUSY':>7}  {'SEEN':10} LABELS")
    for agent in agents:
        seen = "now" if agent.seen_s < 60 else f"{units.duration(agent.seen_s)} ago"
        busy = f"{agent.busy} of {agent.slots}"
        print(f"{agent.name:24} {busy:>7}  {'paused' if agent.paused else seen:10} {' '.join(agent.labels)}")
    return 0


def _text(line: Line) -> str:
    place = f" {line.node}{'' if line.item is None else f'[{line.item}]'}" if line.node else ""
    return f"{units.clock(line.time)} {line.level:7}{place} {printable(line.text)}"
