"""Machines that are left after a failure: the cluster classes of dask-cloudprovider beside swath's.

Run: python bench/leaks.py [--on ec2] [--events killed,quota] [--who swath] [--json FILE]. Real clusters in simulated clouds
(tests/clouds): each event is caused in the same way for both, and afterwards the machines that are still paid for are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.clouds.control import Cloud, started  # noqa: E402
from tests.clouds.projects import QUICK  # noqa: E402

WHO = ("standard", "swath")
WORKERS = 2
UP_S = 90.0
"""Timeout for a cluster to start, or to fail."""
END_S = 30.0
"""Timeout for a client to end after that."""
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Event:
    """A failure to be caused."""

    name: str
    description: str
    before: Callable[[Cloud], object] = lambda cloud: None
    """Called before the client starts."""
    at: str = "up"
    """When `act` is called: `up`, or `waiting` (the scheduler's machine has booted, the scheduler does not listen)."""
    act: Callable[[Cloud, Process], object] = lambda cloud, process: None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Environment of the workers."""
    replaces: bool = False
    """Whether the lost machine should be replaced."""


def machine(cloud: Cloud, role: str) -> str:
    """Id of a machine with a role, by its name."""
    return next(each["id"] for each in cloud.alive() if ("scheduler" in each["name"]) == (role == "scheduler"))


def gone_by_hand(cloud: Cloud) -> None:
    code = "InvalidInstanceID.NotFound" if cloud.kind == "ec2" else "notFound"
    cloud.fail_removal(nth=1, code=code, status=400 if cloud.kind == "ec2" else 404)


EVENTS = (
    Event("killed", "SIGKILL of the client", act=lambda _, process: process.send_signal(signal.SIGKILL)),
    Event("terminated", "SIGTERM of the client", act=lambda _, process: process.send_signal(signal.SIGTERM)),
    Event(
        "interrupted",
        "Ctrl-C while it waits for the scheduler",
        before=lambda cloud: cloud.behaviour(container="hangs"),
        at="waiting",
        act=lambda _, process: process.send_signal(signal.SIGINT),
    ),
    Event("quota", "the second machine is beyond the quota", before=lambda cloud: cloud.quota(nth=2, times=50)),
    Event("stock-out", "the second machine is sold out", before=lambda cloud: cloud.stock_out(nth=2, times=50)),
    Event(
        "answer-lost",
        "a worker is made, and the answer is lost",
        before=lambda cloud: cloud.fail_create(nth=2, when="after", status=400),
    ),
    Event("not-found", "the cloud does not know a machine that is removed", before=gone_by_hand),
    Event(
        "scheduler-dies",
        "the scheduler is killed",
        act=lambda cloud, _: cloud.kill_container(machine(cloud, "scheduler")),
    ),
    Event(
        "docker-fails",
        "Docker fails on the scheduler's machine",
        before=lambda cloud: cloud.behaviour(container="dies"),
    ),
    Event(
        "never-boots", "the scheduler's machine never boots", before=lambda cloud: cloud.behaviour(nth=1, boot="never")
    ),
    Event(
        "reclaimed",
        "a spot worker is taken back",
        act=lambda cloud, _: cloud.reclaim(machine(cloud, "worker")),
        replaces=True,
    ),
    Event("apostrophe", "an apostrophe in a variable of the workers", env={"NOTE": "it's"}),
)


@dataclass(frozen=True)
class Row:
    """The result of one event."""

    cloud: str
    event: str
    description: str
    who: str
    caused: bool
    """Whether the cluster got so far that the event could be caused."""
    most: int
    """The largest number of machines at once."""
    left: int
    """Machines that are still paid for."""
    hung: bool
    """Whether the client had to be killed."""
    code: int | None
    """Its exit code; None when it had to be killed."""
    replaced: bool | None
    """Whether the lost worker was replaced; None where none was lost."""
    seconds: float
    """From the event (from the start where it is caused before) until the client has ended."""


def row(cloud: Cloud, event: Event, who: str, folder: Path, grace_s: float) -> Row:
    """The result of one event."""
    cloud.reset()
    event.before(cloud)
    fields = json.dumps(dataclasses.asdict(cloud) | {"root": "", "opener": None, "env": dict(event.env)})
    env = (
        os.environ
        | cloud.environment
        | QUICK
        | {"PYTHONPATH": str(ROOT), "SWATH_HOME": str(folder / "home"), "SWATH_TRUST": "1"}
    )
    path = folder / f"{cloud.kind}-{event.name}-{who}.log"
    with path.open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, __file__, "--drive", who, fields, str(folder / f"state-{cloud.kind}-{event.name}")],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
        )
    assert process.stdin is not None
    most, replaced, caused = 0, None, event.act is Event.act

    def reached() -> bool:
        nonlocal most
        alive = cloud.alive()
        most = max(most, len(alive))
        is_up = "cluster is up\n" in path.read_text()
        return process.poll() is not None or is_up or (event.at == "waiting" and bool(alive) and alive[0]["booted"])

    try:
        if cloud.until(reached, UP_S) and process.poll() is None:
            if event.at == "waiting":
                time.sleep(2)  # so that it waits for the scheduler and no more for the machine
            began, caused = time.monotonic(), True
            event.act(cloud, process)
            if event.replaces:
                cloud.until(lambda: len(running(cloud)) <= WORKERS, 5)
                replaced = cloud.until(lambda: len(running(cloud)) > WORKERS, 20)
            with contextlib.suppress(OSError):
                process.stdin.write("close\n")
                process.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        took = time.monotonic() - began
        hung = process.poll() is None
        code = process.poll()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
    if cloud.alive():
        cloud.until(lambda: not cloud.alive(), grace_s)
    return Row(
        cloud.kind,
        event.name,
        event.description,
        who,
        caused,
        most,
        len(cloud.alive()),
        hung,
        code,
        replaced,
        round(took, 1),
    )


def running(cloud: Cloud) -> list[Any]:
    return [
        each for each in cloud.alive() if each["state"].lower() in ("running", "staging", "provisioning", "pending")
    ]


# --- the client, in a process of its own


def drive(who: str, cloud_fields: str, folder: Path) -> None:
    """Start a cluster, print a line, and close it when a line is read."""
    fields = json.loads(cloud_fields)
    env = fields.pop("env")
    cloud = Cloud(**fields | {"root": Path()})
    (standard if who == "standard" else swath)(cloud, env, folder)


def standard(cloud: Cloud, env: dict[str, str], folder: Path) -> None:
    """As in its documentation."""
    from distributed import Client

    from tests.clouds import standard as classes

    if cloud.kind == "ec2":
        cluster = classes.ec2_cluster(cloud, n_workers=WORKERS, env_vars=env, spot=True)
    else:
        cluster = classes.gcp_cluster(cloud, n_workers=WORKERS, env_vars=env, preemptible=True)
    with cluster, Client(cluster) as client:
        client.wait_for_workers(WORKERS)
        print("cluster is up", flush=True)
        sys.stdin.readline()


def swath(cloud: Cloud, env: dict[str, str], folder: Path) -> None:
    """As in a run."""
    import threading

    from swath.cluster.cloud.cloud import CloudMachines
    from swath.cluster.contract import RunContext
    from swath.engine.journal import Journal
    from swath.engine.stop import Stop
    from swath.errors import SwathError
    from swath.spec.clusters.cloud import AwsCluster, GcpCluster
    from tests.clouds.projects import cluster

    fields = cluster(cloud, workers=WORKERS, spot=True, env=env, start_timeout_s=UP_S * 0.7)
    spec = AwsCluster(**fields) if cloud.kind == "ec2" else GcpCluster(**fields)
    stop, close = Stop(), threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        close.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        with Journal.open(folder) as journal, stop.on_signals():
            context = RunContext("leaks-1", journal, stop, lambda level, text: print(level, text, file=sys.stderr))
            with CloudMachines(spec, context):
                print("cluster is up", flush=True)
                while not close.wait(0.1) and not stop.requested:
                    continue
    except SwathError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


# --- the table


def table(rows: list[Row]) -> str:
    """Rows of both side by side, as plain text."""

    def cell(found: Row | None) -> str:
        if found is None:
            return "-"
        ended = "hangs" if found.hung else f"exit {found.code}"
        if not found.caused:
            return f"{found.left} left, ended too soon"
        replaced = {None: "", True: ", replaced", False: ", not replaced"}[found.replaced]
        return f"{found.left} left, {ended}{replaced}, {found.seconds:g} s"

    lines = [("cloud", "event", *WHO)]
    for cloud, event, description in dict.fromkeys((each.cloud, each.event, each.description) for each in rows):
        cells = [cell(next((r for r in rows if (r.cloud, r.event, r.who) == (cloud, event, who)), None)) for who in WHO]
        lines.append((cloud, description, *cells))
    total = [sum(each.left for each in rows if each.who == who) for who in WHO]
    lines.append(("", "machines left", *(str(each) for each in total)))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", choices=("ec2", "gce"), action="append", help="default: both")
    parser.add_argument("--events", help="names, separated by commas; default: all", default="")
    parser.add_argument("--who", choices=WHO, action="append", help="default: both")
    parser.add_argument(
        "--grace", type=float, default=15, help="seconds that machines may still take to go (default 15)"
    )
    parser.add_argument("--json", type=Path, help="a file for the rows")
    parser.add_argument("--logs", type=Path, help="a folder for what the clients said")
    parser.add_argument("--drive", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        return drive(options.drive[0], options.drive[1], Path(options.drive[2]))
    names = options.events.split(",") if options.events else [event.name for event in EVENTS]
    if unknown := set(names) - {event.name for event in EVENTS}:
        parser.error(
            f"no such event: {', '.join(sorted(unknown))}; there are {', '.join(event.name for event in EVENTS)}"
        )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for kind in options.on or ("ec2", "gce"):
            with started(kind, folder / kind) as cloud:
                for event in EVENTS:
                    for who in options.who or WHO:
                        if event.name in names:
                            logs = options.logs or folder
                            logs.mkdir(parents=True, exist_ok=True)
                            rows.append(row(cloud, event, who, logs, options.grace))
                            print(json.dumps(dataclasses.asdict(rows[-1])), file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(each) for each in rows], indent=1) + "\n")
    print(table(rows))
    return None


if __name__ == "__main__":
    main()
