"""Worker processes are counted by machine, and an event about one looks at no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from distributed.utils import LoopRunner

from swath.cluster.cloud.process_register import ProcessRegister, machine_of
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.workers import tls
from tests.cluster.cloud.providers import MemoryCloud
from tests.cluster.specs import gcp_spec

FOUR = {"cpu": 1.0, "memory": 4e9}
EIGHT = {"cpu": 1.0, "memory": 8e9}


def worker(name: str, resources: dict[str, float] = FOUR) -> dict[str, Any]:
    return {"name": name, "resources": resources, "nthreads": 1}


def test_processes_come_and_go_with_their_addresses() -> None:
    register = ProcessRegister()
    assert register.add({"a:1": worker("m-1-0"), "a:2": worker("m-1-1"), "b:1": worker("m-2-0", EIGHT)}) == {
        "m-1",
        "m-2",
    }
    assert sorted(register.of("m-1")) == ["m-1-0", "m-1-1"]
    assert (register.count("m-1"), register.count("m-2"), register.count("m-3")) == (2, 1, 0)
    register.remove("a:1")
    register.remove("unknown:1")
    assert register.of("m-1") == ["m-1-1"]
    register.add({"a:2": worker("m-3-0")})  # a new process at an old address
    assert (register.of("m-1"), register.of("m-3")) == ([], ["m-3-0"])
    assert register.replace({"b:1": worker("m-2-0")}) == {"m-2"}
    assert (register.of("m-3"), register.of("m-2")) == ([], ["m-2-0"])
    assert register.resources == (FOUR, EIGHT), "also of workers that are gone: the next ones may have them again"
    assert machine_of("m-1-0") == "m-1"


class Unread(dict[str, Any]):
    """Workers that nobody may go through."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all workers were looked at")

    values = items = keys = __iter__  # type: ignore[assignment]


def test_an_event_about_one_worker_does_not_look_at_all_others() -> None:
    runner = LoopRunner(asynchronous=False)
    runner.start()

    async def use() -> None:
        cluster = VmCluster(gcp_spec(), "run-1", tls.run_security(), runner.loop, MemoryCloud())
        for name in ("run-1-a", "run-1-b"):
            cluster.worker_spec[name] = cluster.new_spec
            cluster.workers[name] = VmProcess(cluster, name, "worker")
        cluster.scheduler_info = {"workers": {"a:1": worker("run-1-a-0")}}  # as after a new connection
        assert cluster.workers["run-1-a"].registered
        cluster.scheduler_info["workers"] = Unread(cluster.scheduler_info["workers"])
        cluster._update_worker_status("add", {"workers": {"b:1": worker("run-1-b-0")}})
        assert cluster.observed == {"run-1-a", "run-1-b"}
        assert cluster.workers["run-1-b"].registered
        cluster._update_worker_status("remove", "a:1")
        assert cluster.observed == {"run-1-b"}
        assert cluster.processes_of("run-1-a") == []
        await cluster.shut_down()

    try:
        asyncio.run_coroutine_threadsafe(use(), runner.loop.asyncio_loop).result(60)
    finally:
        runner.stop()
