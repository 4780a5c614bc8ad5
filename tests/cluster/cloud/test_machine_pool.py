"""Every machine that was launched is recorded from its launch to its end, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest

from swath.cluster.cloud.machine_pool import MachinePool
from swath.cluster.providers.contract import LaunchRequest
from swath.errors import InfrastructureError
from tests.cluster.cloud.providers import MemoryCloud


def request(name: str) -> LaunchRequest:
    return LaunchRequest(name, "worker", "m7i.xlarge", True, "run-1", time.time() + 3600, "#cloud-config\n")


def test_a_machine_is_recorded_from_its_launch_to_its_termination() -> None:
    async def use() -> None:
        cloud = MemoryCloud()
        pool = MachinePool(cloud)
        assert pool.machine("m-1") is None
        machine = await pool.launch(request("m-1"))
        assert pool.machine("m-1") == machine
        (record,) = pool.created
        assert (record.name, record.type, record.role, record.spot, record.ended) == (
            "m-1",
            "m7i.xlarge",
            "worker",
            True,
            None,
        )
        await pool.terminate("m-1")
        await pool.terminate("m-1")
        assert cloud.listed == {}
        assert pool.created[0].ended is not None
        await pool.close()
        pool.shut_down()

    asyncio.run(use())


def test_a_launch_that_is_not_awaited_any_more_is_recorded_and_terminated_at_the_end() -> None:
    async def use() -> None:
        cloud = MemoryCloud()
        pool = MachinePool(cloud)
        cloud.open.clear()
        launch = asyncio.ensure_future(pool.launch(request("m-1")))
        await asyncio.sleep(0)
        launch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launch
        cloud.open.set()
        await pool.close()
        assert [record.name for record in pool.created] == ["m-1"]
        assert pool.created[0].ended is not None
        assert cloud.listed == {}
        pool.shut_down()

    asyncio.run(use())


def test_a_machine_that_comes_up_while_the_cluster_closes_is_terminated_at_once() -> None:
    async def use() -> None:
        cloud = MemoryCloud()
        pool = MachinePool(cloud)
        cloud.open.clear()
        launch = asyncio.ensure_future(pool.launch(request("m-1")))
        await asyncio.sleep(0)
        pool.closing = True
        cloud.open.set()
        await launch
        assert cloud.listed == {}
        pool.shut_down()

    asyncio.run(use())


def test_the_record_of_a_machine_ends_also_when_the_cloud_refuses_its_termination() -> None:
    async def use() -> None:
        cloud = MemoryCloud()
        pool = MachinePool(cloud)
        for name in ("m-1", "m-2"):
            await pool.launch(request(name))
        cloud.refusing = True
        with pytest.raises(InfrastructureError):
            await pool.terminate("m-1")
        await pool.close()  # an error while closing is only logged
        assert all(record.ended is not None for record in pool.created)
        assert len(cloud.listed) == 2, "they are left to the removal of all machines of the run"
        pool.shut_down()

    asyncio.run(use())
