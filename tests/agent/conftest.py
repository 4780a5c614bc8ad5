"""A server on loopback, a small project, and agents for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvicorn

from swath.agent.agent import Agent, AgentLimits
from swath.engine.process import Process
from swath.launchers.contract import JobLauncher
from swath.protocol.client import Client, ClientLimits, Superseded
from swath.protocol.messages import RunInfo, RunRequest
from swath.secret_stores.reference import SecretReference
from swath.server.app import create_app
from swath.server.database.open import open_database
from swath.server.queue import QueueLimits
from swath.server.services import Services
from swath.server.uvicorn_server import UvicornServer
from tests.launchers.conftest import batch, docker, vertex

__all__ = ["batch", "docker", "vertex"]

PIPELINE = """
import time
from pathlib import Path
from swath import Spec, pipeline, task

class Job(Spec):
    n: int = 3
    hold: str = ""

@task
def step(number, *, hold):
    print(f"step {number}")
    Path("began").touch()
    while hold and Path(hold).exists():
        time.sleep(0.02)
    return number

@task
def total(numbers):
    return sum(numbers)

@pipeline
def job(spec: Job):
    return total(step.map(list(range(spec.n)), hold=spec.hold))
"""
QUICK = QueueLimits(beat_s=0.2, start_s=600, lost_s=900)
"""Short between beats; nothing else depends on how fast this machine is."""


def wait_for(condition: Callable[[], object], within_s: float = 180.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


class TestServer:
    """A server with a file as database, on a port that stays the same when it is started again."""

    __test__ = False

    def __init__(self, folder: Path, limits: QueueLimits = QUICK) -> None:
        self._file = str(folder / "server.sqlite")
        self._limits = limits
        self.port = 0
        self.start()
        self.client_token = self.services.accounts.create("user", "ada", "admin", who="test")

    def start(self) -> None:
        self.services = Services.of(open_database(self._file), queue=self._limits)
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        ready = threading.Event()
        config = uvicorn.Config(
            create_app(self.services, settle_s=0.2), log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
        self._server = UvicornServer(config, ready.set, self.services.wakeup.close)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        assert ready.wait(120)
        self._socket = listening

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(120)
        assert not self._thread.is_alive()
        self._socket.close()
        self.services.database.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Client:
        return Client(self.url, self.client_token, ClientLimits(tries=3, pause_s=0.05))

    def agent_token(self, name: str) -> str:
        return self.services.accounts.create("agent", name, "runner", who="test")


class Site:
    """A server, a project on this machine, and agents for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "project"
        (self.root / "pipelines").mkdir(parents=True)
        (self.root / "pipelines" / "job.py").write_text(PIPELINE)
        (self.root / "swath.yaml").write_text("")
        self.server = TestServer(folder / "server")
        self.server.client.call("PUT", "/projects/p", {"source": {"folder": str(self.root)}})
        self._agents: list[tuple[Agent, threading.Thread]] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._tokens: dict[str, str] = {}

    def _token(self, name: str) -> str:
        return self._tokens.get(name) or self._tokens.setdefault(name, self.server.agent_token(name))

    def agent(
        self,
        name: str = "desk",
        *labels: str,
        slots: int = 2,
        accepts: tuple[str, ...] = (),
        launchers: Mapping[str, JobLauncher] | None = None,
        secrets: Mapping[str, SecretReference] | None = None,
        url: str = "",
    ) -> Agent:
        """An agent in a thread of this process. url: where it finds the server."""
        client = Client(url or self.server.url, self._token(name), ClientLimits(tries=2, pause_s=0.05))
        limits = AgentLimits(wait_s=2, check_s=0.1, most_pause_s=0.3)
        folder = self.folder / "agents" / name
        agent = Agent(
            client, name, folder, labels=labels, slots=slots, accepts=accepts, launchers=launchers, secrets_of_runs=secrets,
            limits=limits,
        )  # fmt: skip

        def work() -> None:
            with contextlib.suppress(Superseded):  # a newer one has its name
                agent.run()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._agents.append((agent, thread))
        return agent

    def alive(self, name: str) -> bool:
        """Whether an agent of this name goes on in a thread."""
        return any(thread.is_alive() for agent, thread in self._agents if agent.name == name)

    def end_agent(self, agent: Agent) -> None:
        agent.stop()
        next(thread for each, thread in self._agents if each is agent).join(120)

    def agent_process(self, name: str = "desk", *words: str, crash: str = "") -> subprocess.Popen[bytes]:
        """An agent as a user starts it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "swath.cli", "agent", self.server.url, "--name", name, *words],
            env={
                **os.environ,
                **({"SWATH_CRASH_AT": crash} if crash else {}),
                "SWATH_AGENT_TOKEN": self._token(name),
                "XDG_STATE_HOME": str(self.folder / "state"),
            },
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def submit(self, spec: str = "pipeline: job\ncluster: inline\n", **request: object) -> str:
        asked = RunRequest.model_validate({"project": "p", "spec": spec, **request})
        return self.server.client.submit(asked, f"key {time.monotonic_ns()}").id

    def held(self) -> tuple[str, Path]:
        """The spec of a run that waits until a file is removed, and that file."""
        hold = self.folder / "hold"
        hold.touch()
        return f"pipeline: job\ncluster: inline\nhold: {hold}\n", hold

    def wait_began(self) -> None:
        wait_for((self.root / "began").exists)

    def state(self, run: str) -> str:
        return self.server.client.run(run).state

    def end_of(self, run: str) -> RunInfo:
        wait_for(lambda: self.state(run) == "ended")
        return self.server.client.run(run)

    def lines(self, run: str) -> list[str]:
        return [line.text for line in self.server.client.follow(run)]

    def close(self) -> None:
        for agent, _ in self._agents:
            agent.stop()
        for _, thread in self._agents:
            thread.join(120)
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(180)  # it may be waiting in a claim
        with contextlib.suppress(Exception):
            self.server.stop()
        for role in ("supervisor", "run"):  # neither outlives its test
            for file in self.folder.glob(f"**/{role}.json"):
                process = Process(**json.loads(file.read_text()))
                if not process.gone():
                    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SWATH_TRUST", "1")
    monkeypatch.delenv("SWATH_HOME", raising=False)
    site = Site(tmp_path)
    yield site
    site.close()
