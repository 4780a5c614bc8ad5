"""What runs on a machine: the scheduler until it is alone, the workers with their shares, and an end by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.machine import entrypoint, preemption
from swath.cluster.machine.entrypoint import gpu_count, worker_shares


def test_processes_share_memory_equally_and_have_a_gpu_each() -> None:
    assert [resources for resources, _ in worker_shares(4, 0, 16_000)] == [{"cpu": 1, "memory": 4000}] * 4
    shares = worker_shares(2, 2, 16_000)
    assert [resources["gpu"] for resources, _ in shares] == [1, 1]
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in shares] == ["0", "1"]


def test_more_processes_than_gpus_share_them_and_memory_is_whole_bytes() -> None:
    shares = worker_shares(3, 2, 16_000)
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in shares] == ["0", "1", "0"]
    assert shares[0][0]["memory"] == 5333


def test_gpus_are_counted_by_their_devices(tmp_path: Path) -> None:
    assert gpu_count(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpu_count(tmp_path) == 2


class FakeScheduler:
    def __init__(self, *clients: str) -> None:
        self.clients = set(clients)
        self.closed = asyncio.Event()

    async def close(self, reason: str) -> None:
        assert reason == "no client"
        self.closed.set()


def test_a_scheduler_ends_when_it_has_had_no_client_for_so_long() -> None:
    async def go() -> None:
        scheduler = FakeScheduler("fire-and-forget")
        await asyncio.wait_for(entrypoint._close_without_client(scheduler, 0.05), 10)
        assert scheduler.closed.is_set()

    asyncio.run(go())


def test_a_scheduler_with_a_client_stays_until_the_client_has_gone() -> None:
    async def go() -> None:
        scheduler = FakeScheduler("fire-and-forget", "Client-1")
        watch = asyncio.ensure_future(entrypoint._close_without_client(scheduler, 0.05))
        await asyncio.sleep(0.3)
        assert not watch.done()
        scheduler.clients.discard("Client-1")
        await asyncio.wait_for(watch, 10)

    asyncio.run(go())


def test_the_scheduler_listens_with_tls_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: dict[str, Any] = {}

    class Scheduler(FakeScheduler):
        address = "tls://10.0.0.7:8786"

        def __init__(self, **options: Any) -> None:
            super().__init__()
            made.update(options)

        async def __aenter__(self) -> Scheduler:
            return self

        async def __aexit__(self, *error: object) -> None:
            """Nothing."""

        async def finished(self) -> None:
            await self.closed.wait()

    monkeypatch.setattr(entrypoint, "RoleScheduler", Scheduler)
    with caplog.at_level("INFO", entrypoint.__name__):
        asyncio.run(asyncio.wait_for(entrypoint.run_scheduler("10.0.0.7", 0.05), 10))
    assert (made["host"], made["port"], made["protocol"]) == ("10.0.0.7", 8786, "tls")
    assert made["dashboard"] is False
    assert f"{entrypoint.LISTENING} tls://10.0.0.7:8786" in caplog.text


class FakeNanny:
    made: list[FakeNanny] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, address: str, **options: Any) -> None:
        self.address, self.options = address, options
        self.name, self.pid = options["name"], 100 + len(self.made)
        self.scheduler = self
        self.metadata: dict[str, Any] = {}
        self.made.append(self)

    def __await__(self) -> Generator[Any, None, FakeNanny]:
        yield from asyncio.sleep(0).__await__()
        return self

    async def set_metadata(self, *, keys: list[str], value: int) -> None:
        self.metadata["/".join(keys)] = value

    async def finished(self) -> None:
        await asyncio.sleep(0.05)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[FakeNanny]:
    """A machine with 4 cores and 16,000 bytes: its worker processes."""
    FakeNanny.made = []
    monkeypatch.setattr(entrypoint, "Nanny", FakeNanny)
    monkeypatch.setattr(entrypoint, "CPU_COUNT", 4)
    monkeypatch.setattr(entrypoint, "MEMORY_LIMIT", 16_000)
    monkeypatch.setattr(entrypoint, "gpu_count", lambda: 0)
    return FakeNanny.made


@pytest.mark.parametrize(("processes", "gpus", "count"), [(None, 0, 4), (3, 0, 3), (None, 2, 2), (1, 2, 1)])
def test_a_machine_has_as_many_workers_as_it_is_told_or_has_gpus_or_cores(
    machine: list[FakeNanny], monkeypatch: pytest.MonkeyPatch, processes: int | None, gpus: int, count: int
) -> None:
    monkeypatch.setattr(entrypoint, "gpu_count", lambda: gpus)
    asyncio.run(entrypoint.run_workers(None, "tls://s:8786", "m-1", processes, None))
    assert [each.name for each in FakeNanny.made] == [f"m-1-{number}" for number in range(count)]
    assert FakeNanny.made[0].metadata == {"swath-machines/m-1": count}
    assert {each.options["nthreads"] for each in FakeNanny.made} == {1}
    assert {each.options["memory_limit"] for each in FakeNanny.made} == {16_000 // count}


@pytest.mark.parametrize("spot", [None, "gcp"])
def test_workers_of_a_spot_machine_are_retired_on_notice(
    machine: list[FakeNanny], monkeypatch: pytest.MonkeyPatch, spot: str | None
) -> None:
    watched: list[Any] = []

    async def watch(kind: str, scheduler: Any, names: list[str]) -> None:
        watched.append((kind, names))
        try:
            await asyncio.sleep(60)
        finally:
            watched.append("ended")

    monkeypatch.setattr(preemption, "retire_on_notice", watch)
    asyncio.run(asyncio.wait_for(entrypoint.run_workers(None, "tls://s:8786", "m-1", 2, spot), 10))
    assert watched == ([("gcp", ["m-1-0", "m-1-1"]), "ended"] if spot else [])


def test_worker_processes_that_are_stopped_are_looked_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []

    class Stopped:
        def __init__(self, looks: int) -> None:
            looked.append(looks)

        def look(self, pids: list[int]) -> list[int]:
            looked.append(pids)
            return pids

    monkeypatch.setattr(entrypoint, "StoppedProcesses", Stopped)
    monkeypatch.setattr(entrypoint, "STOPPED_S", 0.5)
    monkeypatch.setattr(entrypoint, "STOPPED_POLL_S", 0.01)
    first, without = FakeNanny("a", name="m-1-0"), FakeNanny("a", name="m-1-1")
    first.pid, without.pid = 41, 0

    async def go() -> None:
        watch = asyncio.ensure_future(entrypoint._kill_stopped([first, without]))  # type: ignore[list-item]
        while len(looked) < 3:
            await asyncio.sleep(0.01)
        watch.cancel()

    asyncio.run(asyncio.wait_for(go(), 10))
    assert looked[:3] == [50, [41], [41]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(number: signal.Signals) -> None:
    ended: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("in order")

    asyncio.run(asyncio.wait_for(entrypoint._until_signal(work()), 10))
    assert ended == ["in order"]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["scheduler"], ("scheduler", None, entrypoint.ALONE_S)),
        (["scheduler", "--alone-s", "3", "--host", "h"], ("scheduler", "h", 3.0)),
        (["worker", "tls://s:1", "--name", "m"], ("workers", None, "tls://s:1", "m", None, None)),
        (
            ["worker", "tls://s:1", "--name", "m", "--processes", "2", "--spot", "aws", "--host", "h"],
            ("workers", "h", "tls://s:1", "m", 2, "aws"),
        ),
    ],
)
def test_words_of_the_command_say_what_runs(
    monkeypatch: pytest.MonkeyPatch, words: list[str], called: tuple[Any, ...]
) -> None:
    done: list[Any] = []

    async def scheduler(*arguments: Any) -> None:
        done.append(("scheduler", *arguments))

    async def workers(*arguments: Any) -> None:
        done.append(("workers", *arguments))

    monkeypatch.setattr(entrypoint, "run_scheduler", scheduler)
    monkeypatch.setattr(entrypoint, "run_workers", workers)
    assert entrypoint.main(words) == 0
    assert done == [called]


@pytest.mark.parametrize("words", [[], ["worker", "tls://s:1"], ["worker", "--name", "m"]])
def test_a_command_that_lacks_something_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        entrypoint.main(words)
    assert caught.value.code == 2
