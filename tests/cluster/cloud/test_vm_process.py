from __future__ import annotations

import asyncio
import dataclasses

import pytest

from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.machine import entrypoint
from swath.cluster.providers.contract import MachineStatus
from swath.cluster.providers.machine import Machine
from swath.errors import InfrastructureError
from tests.cluster.cloud.providers import MemoryCloud
from tests.cluster.cloud.test_repair import LIMITS, FakeCluster


class SilentHost(MemoryCloud):
    """Its machines have an address that drops packets, or refuses, and a console."""

    text = ""
    address = "192.0.2.1"

    def status(self, machine: Machine) -> MachineStatus:
        return MachineStatus("running", private_ip=self.address, public_ip=self.address)

    def console(self, machine: Machine, lines: int = 20) -> str:
        return self.text


def start(cloud: SilentHost, monkeypatch: pytest.MonkeyPatch, start_timeout_s: float) -> InfrastructureError:
    """The error of a scheduler's machine on a cloud."""

    async def no_answer(*_: object) -> None:
        await asyncio.sleep(0.01)
        raise TimeoutError if cloud.address == "192.0.2.1" else ConnectionRefusedError(111, "refused")

    async def use() -> None:
        cluster = FakeCluster()
        cluster.machines.provider = cluster.machines.fleet = cloud
        cluster.limits = dataclasses.replace(LIMITS, unreached_s=0.1)
        cluster.spec = cluster.spec.model_copy(update={"start_timeout_s": start_timeout_s})
        cluster.scheduler = VmProcess(cluster, "run-1-scheduler", "scheduler")
        try:
            await cluster.scheduler.start()
        finally:
            cluster.machines.shut_down()

    monkeypatch.setattr(asyncio, "open_connection", no_answer)
    with pytest.raises(InfrastructureError) as caught:
        asyncio.run(use())
    return caught.value


def test_a_scheduler_that_listens_and_is_not_reached_is_told_in_seconds_with_address_port_and_firewall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = SilentHost()
    cloud.text = f"booted\n2026-03-01 {entrypoint.LISTENING} tls://10.0.0.7:8786"
    error = start(cloud, monkeypatch, 600)
    assert "listens, but it is not reached from here at 192.0.2.1:8786 (no answer)" in error.message
    assert entrypoint.LISTENING in error.message, "the console is not shown"
    assert "firewall" in error.remedy
    assert "8786" in error.remedy


@pytest.mark.parametrize(("address", "reason"), [("192.0.2.1", "no answer"), ("127.0.0.9", "connection refused")])
def test_a_scheduler_of_which_nothing_is_known_is_told_at_its_time_limit_with_address_port_and_console(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    cloud = SilentHost()
    cloud.address, cloud.text = address, "pulling the image"
    error = start(cloud, monkeypatch, 0.5)
    assert f"did not listen: it is not reached from here at {address}:8786 ({reason}) after 0.5 s" in error.message
    assert "pulling the image" in error.message
    assert "firewall" in error.remedy
