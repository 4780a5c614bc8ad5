"""A run at scale, on the client's side: 1,000 machines join, 10,000 results are read for publication, 100,000 looked up at a resume.

Run: python bench/scale.py [joins] [publication] [resume]. Machines and the bucket are simulated: each request there takes 50 ms,
as from a laptop to a region far away, and costs no time of a processor, so the times are those of swath itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from distributed.utils import LoopRunner
from fsspec.implementations.memory import MemoryFileSystem

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from swath.cluster.cloud.vm_cluster import VmCluster  # noqa: E402
from swath.cluster.cloud.vm_process import VmProcess  # noqa: E402
from swath.cluster.workers import tls  # noqa: E402
from swath.engine.items import LOOKUPS  # noqa: E402
from swath.engine.store import ResultStore  # noqa: E402
from swath.engine.stored_args import LazyItems, StoredItems  # noqa: E402
from tests.cluster.cloud.providers import MemoryCloud  # noqa: E402
from tests.cluster.specs import gcp_spec  # noqa: E402

LATENCY_S = 0.05
PROCESSES = 4
"""Worker processes of a machine."""


class SlowStore(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A bucket in memory whose reads take LATENCY_S; a page of a listing has 1,000 objects."""

    protocol = "slow"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def cat_file(self, path: str, **more: Any) -> bytes:
        time.sleep(LATENCY_S)
        return bytes(super().cat_file(path, **more))

    def info(self, path: str, **more: Any) -> Any:
        time.sleep(LATENCY_S)
        return super().info(path, **more)

    def find(self, path: str, *, detail: bool = False, **more: Any) -> Any:
        prefix = self._strip_protocol(path) + "/"
        found = {key: {"name": key, "size": len(value.getvalue()), "type": "file"}
                 for key, value in self.store.items() if key.startswith(prefix)}  # fmt: skip
        time.sleep(LATENCY_S * (1 + len(found) // 1000))
        return found if detail else list(found)


def joins(machines: int) -> tuple[float, float]:
    """Seconds of a processor for all machines' processes to join, and for the last of them."""
    runner = LoopRunner(asynchronous=False)
    runner.start()

    async def use() -> tuple[float, float]:
        cluster = VmCluster(gcp_spec(), "run-1", tls.run_security(), runner.loop, MemoryCloud())
        names = [f"run-1-{number:08x}" for number in range(machines)]
        cluster.worker_spec.update(dict.fromkeys(names, cluster.new_spec))
        cluster.workers.update({name: VmProcess(cluster, name, "worker") for name in names})
        began = last = time.process_time()
        for number, name in enumerate(names):
            last = time.process_time()
            for process in range(PROCESSES):
                about = {"name": f"{name}-{process}", "resources": {"cpu": 1, "memory": 4e9}, "nthreads": 1}
                cluster._update_worker_status("add", {"workers": {f"tls://10.0.{number}:{process}": about}})
        ended = time.process_time()
        assert len(cluster.observed) == machines
        await cluster.shut_down()
        return ended - began, (ended - last) / PROCESSES

    try:
        return asyncio.run_coroutine_threadsafe(use(), runner.loop.asyncio_loop).result()
    finally:
        runner.stop()


def publication(results: int) -> float:
    """Seconds in which all results of a mapped node are read from the bucket, in order."""
    store = ResultStore("slow://bucket/results")
    items = StoredItems.write(
        (store.put(bytes([number % 251]) * 10_000 + str(number).encode()) for number in range(results)), store
    )
    began = time.perf_counter()
    count = sum(1 for _ in LazyItems(ResultStore(store.root), items))
    assert count == results
    return time.perf_counter() - began


def resume(results: int) -> float:
    """Seconds in which it is known which of an earlier session's results are in the bucket."""
    store = ResultStore("slow://bucket/kept")
    stored = [store.put(number.to_bytes(4) * 2500) for number in range(results)]
    again = ResultStore(store.root)
    began = time.perf_counter()
    found = sum(sum(again.present(stored[start : start + LOOKUPS])) for start in range(0, results, LOOKUPS))
    assert found == results
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", help="joins, publication, resume; default: all")
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--stored", type=int, default=100_000)
    options = parser.parse_args()
    fsspec.register_implementation("slow", SlowStore, clobber=True)
    chosen: set[str] = set(options.what) or {"joins", "publication", "resume"}
    every: dict[str, Callable[[], str]] = {
        "joins": lambda: "{:.1f} s of a processor, {:.1f} ms the last".format(*_with_ms(joins(options.machines))),
        "publication": lambda: _rate(options.results, publication(options.results)),
        "resume": lambda: _rate(options.stored, resume(options.stored)),
    }
    for name, measure in every.items():
        if name in chosen:
            print(f"{name:12} {measure()}", flush=True)


def _with_ms(times: tuple[float, float]) -> tuple[float, float]:
    return times[0], times[1] * 1000


def _rate(count: int, seconds: float) -> str:
    return f"{count} results in {seconds:.1f} s, {count / seconds:.0f} a second"


if __name__ == "__main__":
    main()
