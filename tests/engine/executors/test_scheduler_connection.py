"""A scheduler is lost when its port refuses, when the client gave up, or when it was not reached for too long."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from swath.engine.executors.scheduler_connection import ConnectionLimits, SchedulerConnection
from swath.errors import InfrastructureError


def connection(status: str, address: str, **limits: float) -> tuple[SchedulerConnection, Any]:
    client: Any = SimpleNamespace(status=status, scheduler=SimpleNamespace(address=address))
    return SchedulerConnection(client, ConnectionLimits(**limits)), client


def test_a_client_that_connects_again_is_waited_for_and_its_time_begins_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # somebody listens
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        found, client = connection("connecting", address, reconnect_s=3600, refused_s=-1, probe_s=0)
        assert not found.connected()
        client.status = "running"
        assert found.connected()
        client.status = "connecting"
        assert not found.connected()
        assert found.address == address


@pytest.mark.parametrize("status", ["closed", "closing"])
def test_a_client_that_gave_up_has_lost_its_scheduler(status: str) -> None:
    found, _ = connection(status, "tcp://127.0.0.1:1", reconnect_s=3600, refused_s=3600)
    with pytest.raises(InfrastructureError, match=r"the Dask scheduler at tcp://127.0.0.1:1 is lost") as caught:
        found.connected()
    assert "pipe resume last" in caught.value.remedy


def test_a_port_that_refuses_is_a_scheduler_that_is_gone_and_one_that_is_silent_is_not() -> None:
    with socket.socket() as bound:  # bound, and nobody listens: connections are refused
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        patient, _ = connection("connecting", address, reconnect_s=3600, refused_s=3600, probe_s=0)
        assert not patient.connected()
        gone, _ = connection("connecting", address, reconnect_s=3600, refused_s=-1, probe_s=0)
        with pytest.raises(InfrastructureError, match="is lost"):
            gone.connected()


def test_a_scheduler_that_was_not_reached_for_too_long_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        found, _ = connection("connecting", address, reconnect_s=-1, refused_s=3600)
        with pytest.raises(InfrastructureError, match="is lost"):
            found.connected()


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (TimeoutError(), "running", "is lost: it does not answer"),
        (OSError("cut"), "running", "is lost: cut"),
        (RuntimeError("closed"), "closed", "is lost: closed"),
    ],
)
def test_what_a_lost_scheduler_raises_names_it(error: Exception, status: str, message: str) -> None:
    found, _ = connection(status, "tcp://127.0.0.1:1")
    with pytest.raises(InfrastructureError, match=message), found.errors():
        raise error


def test_an_error_of_a_client_that_runs_is_its_own() -> None:
    found, _ = connection("running", "tcp://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="mine"), found.errors():
        raise RuntimeError("mine")
