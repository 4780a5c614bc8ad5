"""Workers that join are checked together, and one that does not answer does not hide the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from swath.cluster.workers.late_joiners import LateJoiners
from swath.errors import InfrastructureError
from tests.waiting import until


class Client:
    """Of the client only what subscribes."""

    status = "running"
    on_event: Callable[[Any], None]

    def subscribe_topic(self, topic: str, on_event: Callable[[Any], None]) -> None:
        self.on_event = on_event

    def unsubscribe_topic(self, topic: str) -> None:
        pass

    def join(self, address: str) -> None:
        self.on_event((0.0, {"action": "add-worker", "worker": address}))


def test_workers_that_join_meanwhile_are_checked_together() -> None:
    client, first, go, checked = Client(), threading.Event(), threading.Event(), []

    def check(addresses: list[str]) -> None:
        checked.append(addresses)
        first.set()
        assert go.wait(60)

    with LateJoiners(client, check):  # type: ignore[arg-type]
        client.join("w-0")
        assert first.wait(60)
        for number in range(1, 1000):
            client.join(f"w-{number}")
        go.set()
        until(lambda: sum(map(len, checked)) == 1000, 60)
    assert [len(each) for each in checked] == [1, 999]


def test_one_that_does_not_answer_does_not_hide_one_that_does_not_fit() -> None:
    client, first, go = Client(), threading.Event(), threading.Event()

    def check(addresses: list[str]) -> None:
        first.set()
        assert go.wait(60)
        if "stopped" in addresses:
            raise TimeoutError
        if "wrong" in addresses:
            raise InfrastructureError("it does not fit")

    with LateJoiners(client, check) as joiners:  # type: ignore[arg-type]
        client.join("w-0")
        assert first.wait(60)
        for address in ("w-1", "stopped", "w-2", "wrong", "w-3"):
            client.join(address)
        go.set()

        def found() -> bool:
            try:
                joiners.check()
            except InfrastructureError:
                return True
            return False

        until(found, 60)
        with pytest.raises(InfrastructureError, match="does not fit"):
            joiners.check()


def test_nobody_waits_for_the_thread_that_checks() -> None:
    started: list[threading.Thread] = []
    client = Client()
    with LateJoiners(client, lambda addresses: started.append(threading.current_thread())):  # type: ignore[arg-type]
        client.join("w-0")
        until(lambda: started)
    assert started[0].daemon
