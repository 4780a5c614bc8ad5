from __future__ import annotations

import asyncio
from typing import Any

import pytest
from distributed import Client
from distributed.core import rpc

from swath.cluster.machine.scheduler_roles import CLIENT_OPERATIONS, RoleScheduler
from swath.cluster.workers import tls


def test_a_worker_s_key_runs_nothing_on_other_machines_and_the_client_s_does() -> None:
    security: Any = tls.run_security()

    async def use() -> None:
        async with RoleScheduler(
            host="127.0.0.1",
            port=0,
            protocol="tls",
            security=security,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        ) as scheduler:
            worker: Any = rpc(scheduler.address, connection_args=security.get_connection_args("worker"))
            assert (await worker.identity())["type"] == "RoleScheduler"
            await worker.set_metadata(keys=["a"], value=1)
            for operation in ("run_function", "broadcast", "register_worker_plugin", "terminate"):
                with pytest.raises(PermissionError, match=f"{operation} is for the run's client; this peer is worker"):
                    await getattr(worker, operation)()
            await worker.close_rpc()

            async with Client(scheduler.address, security=security, asynchronous=True, set_as_default=False) as client:
                assert await client.run_on_scheduler(lambda: 7) == 7
                assert await client.run(lambda: 7) == {}

    asyncio.run(use())


def test_every_operation_that_is_listed_exists() -> None:
    async def use() -> None:
        scheduler = RoleScheduler(dashboard=False, dashboard_address="127.0.0.1:0")
        assert set(CLIENT_OPERATIONS) <= set(scheduler.handlers)
        await scheduler.close()

    asyncio.run(use())
