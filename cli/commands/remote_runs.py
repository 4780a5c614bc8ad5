"""Runs of a server: waiting for one, its log, lists, and cancels."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TextIO

from swath import units
from swath.cli import streams
from swath.cli.render.terminal_text import printable
from swath.client import Client, Line, RunInfo, connect
from swath.errors import SwathError


def client_of() -> Client:
    """The client of the server that this user has signed in to."""
    return connect()


def wait_for(client: Client, run: str, *, as_json: bool) -> int:
    """Wait until a run has ended, print its outputs, and return its exit code. A server that is away for a while is waited for."""
    return _print_end(client.wait(run, told=_waiting(run)), as_json=as_json)


def _waiting(run: str) -> Callable[[SwathError], None]:
    return lambda error: print(f"{error.message}; still waiting for {run}", file=sys.stderr, flush=True)


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


def follow_run(client: Client, run: str, level: str | None, *, as_json: bool, out: TextIO) -> None:
    """Print the log lines of a run, each once, until it has ended. A server that is away for a while is waited for."""
    for line in client.follow(run, level, told=_waiting(run)):
        print(json.dumps(line.model_dump(mode="json")) if as_json else _text(line), file=out, flush=True)
        if streams.abandoned(out):
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
