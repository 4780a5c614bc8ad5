"""A server process that is killed between a change and its answer, or told to end while requests wait."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swath.protocol.client import Client, ClientLimits, ServerUnavailable
from swath.protocol.messages import AgentRegistration, Claim, Line, RunRequest, Work
from swath.server.database.open import version_of
from swath.server.database.schema import STEPS
from swath.version import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REQUEST = RunRequest(project="lakes", spec="pipeline: predict")
LINES = tuple(Line(id=number, time=5.0, level="info", text=f"line {number}") for number in (1, 2))
CLAIM = Claim(session="session of desk", claim="a word that is asked again")


class ServerProcess:
    """`pipe server` on a folder. It is started again on any port: nothing says that the one before is still free."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.folder = folder
        self._database = ["--database", database] if database else []
        self.process: subprocess.Popen[str] | None = None

    def start(self, crash: str = "") -> None:
        words = [
            sys.executable,
            "-m",
            "swath.cli",
            "server",
            "--data",
            str(self.folder),
            "--port",
            "0",
            *self._database,
        ]
        env = os.environ | ({"SWATH_CRASH_AT": crash} if crash else {})
        self.process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = re.search(r"the server is at (http://127\.0\.0\.1:\d+);", self.process.stderr.readline())
        self.url = found[1] if found else ""

    def client(self, token: str | None = None) -> Client:
        limits = ClientLimits(tries=1, read_s=120)
        return Client(self.url, token or (self.folder / "admin.token").read_text().strip(), limits)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=300)
        return self.process.returncode


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path / "data")
    yield server
    server.end()


def set_up(server: ServerProcess) -> tuple[str, str]:
    """A project and an agent: its token and its id."""
    server.client().call("PUT", "/projects/lakes", {"source": {"folder": "/lakes"}})
    token = str(server.client().call("POST", "/tokens", {"name": "box", "kind": "agent"})["token"])
    about = AgentRegistration(name="desk", session=CLAIM.session, slots=1, version=__version__)
    return token, server.client(token).register(about).id


def again(server: ServerProcess, request: Callable[[], object]) -> object:
    """A request during which the server is killed, and the same one to the next server."""
    with pytest.raises(ServerUnavailable):
        request()
    assert server.end() == -signal.SIGKILL
    server.start()
    return request()


def test_a_server_that_is_killed_in_a_request_answers_it_when_it_is_asked_again(server: ServerProcess) -> None:
    server.start("submitted")
    token, agent = set_up(server)
    run = again(server, lambda: server.client().submit(REQUEST, "key").id)
    assert [each.id for each in server.client().runs().runs] == [run]

    server.end()
    server.start("assigned")
    work = again(server, lambda: server.client(token).claim(agent, CLAIM))
    assert isinstance(work, Work)
    assert (work.run, work.number) == (run, 1)
    server.client(work.token).beat(work.run, 1)

    server.end()  # also between requests
    server.start("stored")
    again(server, lambda: server.client(work.token).send_lines(work.run, 1, LINES))
    assert [line.text for line in server.client().lines(work.run).lines] == ["line 1", "line 2"]
    assert server.client().run(work.run).state == "running"
    with sqlite3.connect(server.folder / "server.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT run, number FROM attempts").fetchall() == [(run, 1)]


def test_a_server_that_is_killed_while_it_changes_tables_changes_them_at_the_next_start(server: ServerProcess) -> None:
    server.folder.mkdir()
    file = server.folder / "server.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("INSERT INTO meta VALUES ('version', '1')")
        for statement in STEPS[0].split(";"):
            db.execute(statement)
    db.close()
    server.start("migrating")
    assert server.end() == -signal.SIGKILL
    assert version_of(str(file)) == 1
    server.start()
    assert server.client().runs().runs == ()
    server.end()
    assert version_of(str(file)) == len(STEPS)
    assert version_of(str(server.folder / "server.v1.sqlite")) == 1


def test_requests_that_wait_are_answered_when_the_server_ends(server: ServerProcess) -> None:
    server.start()
    token, agent = set_up(server)
    run = server.client().submit(REQUEST.model_copy(update={"labels": ("tpu",)}), "key").id
    answers: dict[str, object] = {}
    begun = [threading.Event(), threading.Event()]

    def claim() -> None:
        begun[0].set()
        answers["claim"] = server.client(token).claim(agent, CLAIM.model_copy(update={"wait_s": 25}))

    def wait() -> None:
        begun[1].set()
        answers["run"] = server.client().run(run, wait_s=25).state

    threads = [threading.Thread(target=claim), threading.Thread(target=wait)]
    for thread, event in zip(threads, begun, strict=True):
        thread.start()
        assert event.wait(60)
    for _ in range(2):  # both have been taken up before these are answered
        server.client().me()
    assert server.end(signal.SIGTERM) == 0
    for thread in threads:
        thread.join(60)
    assert answers == {"claim": None, "run": "queued"}
