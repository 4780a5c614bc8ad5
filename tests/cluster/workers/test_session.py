"""A run's connection: resources are asked for, stores are tried, and a lost scheduler is an error of swath."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.workers import session as module
from swath.cluster.workers.session import (
    LOGGERS,
    RESOURCES_VALID_S,
    DaskSession,
    connect,
    quiet_dask,
    scheduler_errors,
    session,
)
from swath.engine.store import INLINE_BYTES, ResultStore
from swath.errors import InfrastructureError
from tests.cluster.workers.fake_client import FakeClient

SMALL = {"tls://a:1": {"resources": {"cpu": 1.0, "memory": 1e9}}}


def opened(**answers: Any) -> tuple[FakeClient, DaskSession]:
    client = FakeClient(**answers)
    return client, DaskSession(client, "tls://s:8786")


def test_all_workers_are_counted() -> None:
    client, here = opened(identity={"workers": SMALL | {"tls://b:1": {}}})
    assert here.workers == 2
    assert client.asked == [("identity", {"n_workers": -1})]


def test_resources_that_a_worker_had_are_not_asked_for_again_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    client, here = opened(identity={"workers": SMALL})
    here.check_resources({})
    assert client.names() == [], "nothing was requested"
    here.check_resources({"cpu": 1})
    now += RESOURCES_VALID_S
    here.check_resources({"cpu": 1})
    assert client.names() == ["identity"]
    here.check_resources({"cpu": 1, "memory": 1e9})
    now += 0.01
    here.check_resources({"cpu": 1})
    assert client.names() == ["identity"] * 3


def test_resources_that_no_worker_has_are_an_error_each_time() -> None:
    _, here = opened(identity={"workers": SMALL})
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="gpu 1"):
            here.check_resources({"gpu": 1})


def test_no_workers_are_an_error_unless_lost_ones_are_replaced() -> None:
    client, here = opened(identity={"workers": {}})
    here.check_resources({"cpu": 1}, workers_return=True)
    here.check_resources({"cpu": 1}, workers_return=True)
    assert client.names() == ["identity"] * 2, "nobody has had them"
    with pytest.raises(InfrastructureError, match="nothing"):
        here.check_resources({"cpu": 1})


def test_a_store_is_read_by_all_workers_or_the_blind_ones_are_told(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    answers: dict[str, Any] = {"a": True, "b": True}
    client, here = opened(**{"workers _reads": lambda options: answers})
    here.check_store(store)
    [(_, options)] = client.asked
    assert options["on_error"] == "return"
    assert module._reads(*options["arguments"]), "it was written, in a file of its own"
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) > INLINE_BYTES
    answers |= {"c": False, "d": OSError("no such folder")}
    with pytest.raises(InfrastructureError, match=r"2 of 4 workers cannot read .*; c says: False"):
        here.check_store(store)


def test_late_joiners_are_checked_where_they_are_looked_for() -> None:
    class Joined:
        def check(self) -> None:
            raise InfrastructureError("does not fit")

    client, without = opened()
    without.check_late_joiners()
    with pytest.raises(InfrastructureError, match="does not fit"):
        DaskSession(client, "s", Joined()).check_late_joiners()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said"), [(TimeoutError(), "has not answered for 60 s"), (OSError("cut"), "is lost: cut")]
)
def test_errors_of_the_connection_name_the_scheduler(error: Exception, said: str) -> None:
    with pytest.raises(InfrastructureError, match=f"scheduler at tls://s.*{said}"), scheduler_errors("tls://s"):
        raise error


def test_dask_is_silent_during_the_body_and_as_before_afterwards() -> None:
    logger = logging.getLogger(LOGGERS[0])
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        with quiet_dask():
            assert {logging.getLogger(each).level for each in LOGGERS} == {logging.CRITICAL}
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)


def test_a_client_is_not_the_default_one_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(module, "RunClient", lambda address, **options: made.append((address, options)))
    connect("tls://s", None, 3.0)
    assert made == [("tls://s", {"security": None, "timeout": 3.0, "set_as_default": False})]


@pytest.mark.parametrize("warning", ["", "the image has other packages"])
def test_a_session_checks_versions_warns_and_sets_workers_up(monkeypatch: pytest.MonkeyPatch, warning: str) -> None:
    done: list[Any] = []

    @contextlib.contextmanager
    def set_up(client: Any, code: Any, env: Any, end_with_run: bool) -> Iterator[None]:
        done.append(("set up", env, end_with_run))
        yield
        done.append("left")

    @contextlib.contextmanager
    def late(client: Any, check: Any) -> Iterator[str]:
        check(["tls://b"])
        yield "late"

    monkeypatch.setattr(module.versions, "check", lambda client, address: done.append(("check", address)))
    monkeypatch.setattr(module.versions, "check_workers", lambda client, address, workers: done.append(workers))
    monkeypatch.setattr(module.versions, "package_warning", lambda client: warning)
    monkeypatch.setattr(module, "workers_set_up", set_up)
    monkeypatch.setattr(module, "LateJoiners", late)
    client, told = FakeClient(), list[str]()
    with session(client, "s", told.append, end_with_run=True, env={"A": "b"}) as here:  # type: ignore[arg-type]
        assert here.address == "s"
        assert done == [("check", "s"), ("set up", {"A": "b"}, True), ["tls://b"]]
    assert done[-1] == "left"
    assert told == [warning] * bool(warning)
    with session(client, "s") as here:  # type: ignore[arg-type]
        assert ("set up", {}, False) in done
        here._late_joiners = None


def test_a_scheduler_that_is_lost_while_a_session_begins_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(client: Any, address: str) -> None:
        raise OSError("cut")

    monkeypatch.setattr(module.versions, "check", lost)
    with pytest.raises(InfrastructureError, match="is lost: cut"), session(FakeClient(), "s"):  # type: ignore[arg-type]
        raise AssertionError("it is not begun")
