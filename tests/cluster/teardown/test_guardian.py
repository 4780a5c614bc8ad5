"""The end of a client as its guardian sees it, through a pipe."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swath.cluster.teardown import guardian
from swath.cluster.teardown.guardian import ENDING, READY, RELEASED, Guardian, _end_of_client, guarded, main
from swath.cluster.teardown.lease import CloudLease
from swath.engine.journal import Journal
from swath.errors import InfrastructureError, TeardownError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


def test_a_client_that_confirms_that_nothing_is_left_is_believed(pipe: tuple[int, int]) -> None:
    client = Guardian(0, os.fdopen(pipe[1], "wb", buffering=0))
    client.ending()
    client.ending()
    client.release()
    assert _end_of_client(pipe[0], 60) == ""
    client.ending()  # nothing: the pipe is closed


@pytest.mark.parametrize("message", [b"", ENDING])
def test_a_client_that_closes_the_pipe_is_gone(pipe: tuple[int, int], message: bytes) -> None:
    os.write(pipe[1], message)
    os.close(pipe[1])
    assert _end_of_client(pipe[0], 60) == "is gone"


def test_a_client_that_was_told_to_stop_and_does_not_end_in_time_is_not_waited_for(pipe: tuple[int, int]) -> None:
    began = time.monotonic()
    os.write(pipe[1], ENDING)
    assert _end_of_client(pipe[0], 0.3) == "was told to stop, and has not ended within 0.3 s"
    assert 0.25 < time.monotonic() - began < 10
    os.close(pipe[1])


def test_a_client_that_runs_is_waited_for_without_limit(pipe: tuple[int, int]) -> None:
    later = threading.Timer(0.5, os.write, (pipe[1], RELEASED))
    later.start()
    assert _end_of_client(pipe[0], 0.1) == ""
    later.join()
    os.close(pipe[1])


def test_that_the_cluster_ends_is_said_once(pipe: tuple[int, int]) -> None:
    client = Guardian(0, os.fdopen(pipe[1], "wb", buffering=0))
    client.ending()
    client.ending()
    assert os.read(pipe[0], 100) == ENDING
    client.release()
    assert client.released
    assert os.read(pipe[0], 100) == RELEASED
    client.ending()


def test_a_guardian_that_was_killed_is_no_error_for_its_client() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stdin:
        client = Guardian(0, stdin)
        client.ending()
        client.release()


class Process:
    """In place of a guardian's process: writes `says` to its output."""

    def __init__(self, says: bytes, slow: bool = False) -> None:
        self.says, self.slow = says, slow
        self.pid = 77
        self.waited: list[float | None] = []
        self.command: list[str] = []
        self.options: dict[str, Any] = {}

    def start(self, command: list[str], **options: Any) -> Process:
        self.command, self.options = command, options
        os.write(options["stdout"], self.says)
        self.stdin = os.dup(options["stdin"])
        return self

    def wait(self, timeout: float | None = None) -> int:
        self.waited.append(timeout)
        if self.slow:
            raise subprocess.TimeoutExpired("guardian", timeout or 0)
        return 3

    def heard(self) -> bytes:
        with os.fdopen(self.stdin, "rb") as stdin:
            return stdin.read()


LEASE = CloudLease.new("run-1", "aws", "eu-central-1")


@pytest.mark.parametrize("slow", [False, True])
def test_a_guardian_runs_during_the_body_and_is_waited_for_when_it_was_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    process = Process(READY, slow)
    monkeypatch.setattr(subprocess, "Popen", process.start)
    for _ in range(2):
        with guarded(LEASE, tmp_path) as client:
            assert client.pid == 77
            client.release()
        assert process.heard() == RELEASED
    assert process.waited == [guardian.EXIT_S] * 2
    assert process.command[-3:] == ["run-1", LEASE.id, str(tmp_path)]
    assert process.options["start_new_session"] is True
    assert (tmp_path / "runs/run-1" / guardian.LOG).is_file()


def test_a_client_that_does_not_release_its_guardian_closes_the_pipe_and_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(READY)
    monkeypatch.setattr(subprocess, "Popen", process.start)
    with guarded(LEASE, tmp_path):
        pass
    assert process.heard() == b""
    assert process.waited == []


def test_a_guardian_that_does_not_start_is_an_error_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(b"Traceback\n")
    monkeypatch.setattr(subprocess, "Popen", process.start)
    with pytest.raises(InfrastructureError, match="did not start: exit code 3") as caught, guarded(LEASE, tmp_path):
        raise AssertionError("nothing may be launched")
    assert guardian.LOG in caught.value.remedy
    assert process.heard() == b""


class Host:
    """What a guardian's process has: `says` on its input, and a cloud."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, says: bytes) -> None:
        self.removed: list[tuple[str, Any]] = []
        self.error: Exception | None = None
        self.out = io.BytesIO()
        self.signals: dict[int, Any] = {}
        reader, writer = os.pipe()
        os.write(writer, says)
        os.close(writer)
        monkeypatch.chdir(folder)  # main changes it
        self.stdin = os.fdopen(reader)
        monkeypatch.setattr(sys, "stdin", self.stdin)
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=self.out))
        monkeypatch.setattr(signal, "signal", self.signals.__setitem__)
        monkeypatch.setattr(guardian, "fleet_of", lambda kind, place: (kind, place))
        monkeypatch.setattr(guardian, "remove_all", self.remove)

    def remove(self, fleet: Any, label: str, *, limits: Any, say: Callable[..., None]) -> int:
        self.removed.append((label, limits))
        assert fleet == ("aws", "eu-central-1")
        if self.error is not None:
            raise self.error
        return 2


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bytes], Host]]:
    made: list[Host] = []

    def make(says: bytes) -> Host:
        made.append(Host(monkeypatch, tmp_path, says))
        return made[-1]

    yield make
    for each in made:
        each.stdin.close()


def guard(state: Path) -> int:
    with Journal.open(state) as journal:
        LEASE.write(journal)
    return main(["run-1", LEASE.id, str(state)])


def leases(state: Path) -> list[str]:
    with Journal.open(state) as journal:
        return [each.id for each in journal.leases()]


def test_a_released_guardian_removes_nothing(tmp_path: Path, host: Callable[[bytes], Host]) -> None:
    client = host(RELEASED)
    assert guard(tmp_path) == 0
    assert client.removed == []
    assert client.out.getvalue() == READY
    assert client.signals == dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)
    assert leases(tmp_path) == [LEASE.id], "the client ends it"


def test_the_machines_of_a_client_that_is_gone_are_removed_and_their_lease_ends(
    tmp_path: Path, host: Callable[[bytes], Host], caplog: pytest.LogCaptureFixture
) -> None:
    client = host(b"")
    with caplog.at_level(logging.INFO):
        assert guard(tmp_path) == 0
    [(label, limits)] = client.removed
    assert (label, limits.empty_for_s, limits.give_up_s) == (LEASE.label, 20.0, 1800.0)
    assert leases(tmp_path) == []
    assert "the client of run-1 is gone" in caplog.text
    assert "2 machines removed" in caplog.text
    assert Path.cwd() == tmp_path


def test_the_time_for_a_client_that_was_told_to_stop_is_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Callable[[bytes], Host]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(guardian, "_end_of_client", lambda pipe, end_s: waits.append(end_s))
    host(b"")
    assert guard(tmp_path) == 0
    monkeypatch.setenv(guardian.END, "3")
    assert guard(tmp_path) == 0
    assert waits == [guardian.END_S, 3.0]


def test_a_removal_that_fails_is_an_exit_code_and_keeps_the_lease(
    tmp_path: Path, host: Callable[[bytes], Host]
) -> None:
    client = host(b"")
    client.error = TeardownError("1 machine was not confirmed gone")
    assert guard(tmp_path) == TeardownError.exit_code
    assert leases(tmp_path) == [LEASE.id]
