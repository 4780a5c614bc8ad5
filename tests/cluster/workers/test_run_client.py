"""A run's client takes its subscriptions up again, and its close ends in time whatever happens."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import distributed
import pytest

from swath.cluster.workers.run_client import ANSWER_S, CLOSE_S, RunClient, answer
from tests.cluster.workers.fake_client import FakeClient


def client(status: str = "running") -> Any:
    made: Any = RunClient.__new__(RunClient)
    made._event_handlers = {"all": None, "log": None}
    made.id, made.status = "Client-1", status
    made.sent = []
    made._send_to_scheduler = made.sent.append
    return made


@pytest.mark.parametrize("status", ["running", "closed"])
def test_subscriptions_are_taken_up_again_after_a_lost_connection(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    async def reconnect(self: Any) -> None:
        self.sent.append("connected")

    monkeypatch.setattr(distributed.Client, "_reconnect", reconnect)
    monkeypatch.setattr(distributed.Client, "__del__", lambda self: None)
    monkeypatch.setattr(RunClient, "status", status, raising=False)
    made = client(status)
    asyncio.run(made._reconnect())
    again = [{"op": "subscribe-topic", "topic": topic, "client": "Client-1"} for topic in ("all", "log")]
    assert made.sent == ["connected", *(again if status == "running" else [])]


@pytest.mark.parametrize("error", [None, OSError("cut")])
def test_a_client_that_does_not_close_is_told_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    closed: list[float] = []

    def close(self: Any, timeout: float) -> None:
        closed.append(timeout)
        if error is not None:
            raise error

    monkeypatch.setattr(distributed.Client, "close", close)
    monkeypatch.setattr(distributed.Client, "__del__", lambda self: None)
    made: Any = RunClient.__new__(RunClient)
    with caplog.at_level(logging.WARNING):
        made.__exit__(None, None, None)
    assert closed == [CLOSE_S]
    assert ("OSError: cut" in caplog.text) is (error is not None)


def test_a_call_has_a_time_limit() -> None:
    async def double(number: int, plus: int) -> int:
        return 2 * number + plus

    here = FakeClient()
    assert answer(here, double, 3, plus=1) == 7
    assert answer(here, double, 3, plus=1, timeout_s=5.0) == 7
    assert here.limits == [ANSWER_S, 5.0]
