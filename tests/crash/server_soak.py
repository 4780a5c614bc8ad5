"""The soak of the server, by hand: `python -m tests.crash.server_soak --minutes 20`.

Runs go through a server and two agents while the server, the agents, supervisors and the processes of runs are killed at random
moments; then everything is counted.

What must hold in the end: every run that was asked for is there once and is done, with its result; the server has the log lines of
the runs' journals, each once and in order; no process is left; the database is whole. A run whose own process was killed is resumed.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.process import Process
from swath.errors import SwathError
from swath.protocol.client import Client, ClientLimits
from swath.protocol.messages import RunInfo, RunRequest
from tests.process import ROOT

PIPELINE = """
import time
from swath import Spec, pipeline, task

class Job(Spec):
    start: int
    n: int = 6

@task
def step(number):
    print(f"step {number}")
    time.sleep(0.5)
    return number

@task
def total(numbers):
    return sum(numbers)

@pipeline
def job(spec: Job):
    return total(step.map([spec.start + i for i in range(spec.n)]))
"""
TARGETS = {"server": 2, "agent": 3, "supervisor": 4, "run": 2}
"""What is killed how often."""
AGENTS = ("desk", "shelf")
PATIENCE_S = 900.0
"""After the last kill."""


class Soak:
    """A server, agents, and what was done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.resumed = 0
        self.asked: dict[str, int] = {}
        """Runs, and the sums that they are to give."""
        self.unanswered = False
        """Whether the server may have a run that this does not know of."""
        self.project = folder / "project"
        (self.project / "pipelines").mkdir(parents=True)
        (self.project / "pipelines" / "job.py").write_text(PIPELINE)
        (self.project / "swath.yaml").write_text("")
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SWATH_")},
            "PYTHONPATH": str(ROOT), "SWATH_TRUST": "1", "XDG_STATE_HOME": str(folder / "state"),
        }  # fmt: skip
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("server")
        atexit.register(self.processes["server"].kill)  # should the rest not begin
        token = folder / "data" / "admin.token"
        until = time.monotonic() + PATIENCE_S
        while not (token.exists() and self.answers()):
            assert time.monotonic() < until, "the server does not begin"
            time.sleep(0.2)
        url, word = f"http://127.0.0.1:{self.port}", token.read_text().strip()
        self.client = Client(url, word)
        self.client.call("PUT", "/projects/p", {"source": {"folder": str(self.project)}})
        for name in AGENTS:
            made = self.client.call("POST", "/tokens", {"name": f"token-of-{name}", "kind": "agent"})["token"]
            (folder / f"{name}.token").touch(0o600)
            (folder / f"{name}.token").write_text(made)
            self.start(name)
        self.client = Client(url, word, ClientLimits(tries=1))

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def close(self) -> None:
        """End what is left."""
        for child in self.processes.values():
            child.kill()
        for process in (*self.beside("supervisor"), *self.beside("run")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def start(self, name: str) -> None:
        """Start the server, or the agent of a name."""
        url = f"http://127.0.0.1:{self.port}"
        words = ["server", "--data", self.folder / "data", "--port", self.port]
        if name != "server":
            words = ["agent", url, "--name", name, "--slots", 2, "--token-file", self.folder / f"{name}.token"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "swath.cli", *map(str, words)], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    # --- what goes on

    def ask(self) -> None:
        """Ask for the next run. Where no answer comes, it is asked for again: the same key gives the same run."""
        number = len(self.asked)
        request = RunRequest(project="p", spec=f"pipeline: job\ncluster: inline\nstart: {10 * number}\n", attempts=5)
        self.unanswered = True
        with contextlib.suppress(SwathError):
            run = self.client.submit(request, f"soak {number}").id
            self.asked[run] = sum(10 * number + step for step in range(6))
            self.unanswered = False

    def beside(self, role: str) -> list[Process]:
        """Living processes of runs, or their supervisors."""
        found = []
        for file in self.folder.glob(f"state/**/attempts/*/{role}.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                process = Process(**json.loads(file.read_text()))
                found += [] if process.gone() else [process]
        return found

    def kill_one(self) -> None:
        """Kill something, and start again what a service manager would."""
        target = self.random.choices(list(TARGETS), list(TARGETS.values()))[0]
        if target in ("supervisor", "run"):
            living = self.beside(target)
            if not living:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(living).pid, signal.SIGKILL)
        else:
            name = target if target == "server" else self.random.choice(AGENTS)
            self.processes[name].kill()
            self.processes[name].wait()
            time.sleep(self.random.uniform(0, 3))
            self.start(name)
        self.kills[target] += 1

    def runs(self) -> list[RunInfo] | None:
        """All runs as the server has them; None while it is away."""
        with contextlib.suppress(SwathError):
            return list(self.client.all_runs())
        return None

    def resume_stopped(self) -> bool:
        """Resume what has ended without its result. Returns whether everything is done."""
        runs = self.runs()
        if runs is None:
            return False
        for run in runs:
            if run.state == "ended" and run.status != "done":
                with contextlib.suppress(SwathError):
                    self.client.resume(run.id)
                    self.resumed += 1
        return all(run.status == "done" for run in runs)

    # --- the end

    def wrong(self) -> Iterator[str]:
        """What does not hold."""
        runs = self.runs() or []
        if sorted(run.id for run in runs) != sorted(self.asked):
            yield f"{len(self.asked)} runs were asked for, the server has {len(runs)}"
        with Journal.open(self.project / ".swath") as journal:
            for run in runs:
                if (run.status, run.outputs) != ("done", (str(self.asked.get(run.id)),)):
                    yield f"{run.id} is {run.state} {run.status} with {run.outputs}: {run.error}"
                sent = [line.text for line in self.client.follow(run.id)]
                kept = [line.text for line in journal.logs(run.id)]
                if sent != kept:
                    yield f"{run.id}: the server has {len(sent)} lines, the journal {len(kept)}"
        for name, process in self.processes.items():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                yield f"{name} does not end"
                process.kill()
        for role in ("supervisor", "run"):
            for process_left in self.beside(role):
                yield f"a {role} is left: {process_left.pid}"
        with closing(sqlite3.connect(self.folder / "data" / "server.sqlite")) as db:
            if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                yield "the database is damaged"
            if left := db.execute("SELECT count(*) FROM attempts WHERE ended IS NULL").fetchone()[0]:
                yield f"{left} attempts have not ended"
            self.attempts = db.execute("SELECT count(*) FROM attempts").fetchone()[0]

    attempts = 0


def soak(folder: Path, minutes: float, seed: int, most: int, every_s: float) -> list[str]:
    """Kill for so long, wait until all is done, and tell what is wrong."""
    with contextlib.closing(Soak(folder, seed)) as this:
        return _soak(this, minutes, seed, most, every_s)


def _soak(this: Soak, minutes: float, seed: int, most: int, every_s: float) -> list[str]:
    began = time.monotonic()
    next_kill = next_ask = began
    while time.monotonic() < began + 60 * minutes:
        now = time.monotonic()
        if now >= next_ask and len(this.asked) < most:
            this.ask()
            next_ask = now + this.random.uniform(0, 120 * minutes / most)
        if now >= next_kill:
            this.kill_one()
            next_kill = time.monotonic() + this.random.uniform(0, 2 * every_s)
        this.resume_stopped()
        time.sleep(0.2)
    until = time.monotonic() + PATIENCE_S
    while (this.unanswered or not this.resume_stopped()) and time.monotonic() < until:
        if this.unanswered:
            this.ask()
        time.sleep(1)
    settled = time.monotonic() - began - 60 * minutes
    found = list(this.wrong())
    kills = ", ".join(f"{count} of a {name}" for name, count in sorted(this.kills.items()))
    print(
        f"seed {seed}: {len(this.asked)} runs in {this.attempts} attempts, {this.resumed} times resumed;"
        f" {sum(this.kills.values())} kills ({kills}) in {minutes:g} min, all done {settled:.0f} s later; {len(found)} findings"
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=200, help="at most")
    parser.add_argument(
        "--every", type=float, default=2.4, help="seconds between kills, on average; more on a slow machine"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="swath-soak-"))
    found = soak(folder, options.minutes, options.seed, options.runs, options.every)
    print(*found, sep="\n")
    if found:
        print(f"what is left of it is in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
