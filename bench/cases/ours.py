"""One measurement of swath's engine, or of what it is compared with on the same cluster, as a process of its own.

Run by bench/engine.py: python bench/cases/ours.py CASE N FOLDER. The last line on stdout is a JSON object.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from swath.cluster.contract import RunningCluster
from swath.cluster.open import open_cluster
from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.executors.routed import RoutedExecutor
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.process import Process
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.events import CallDone, Event
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.clusters.cluster import InlineCluster, LocalCluster
from swath.spec.clusters.workers import Workers

WORKERS = 2
FLOOR_BATCH = 1000
"""Rows of one commit of the floor."""


class Params(Spec):
    """What the graphs here are built from."""

    n: int


class Item(Spec):
    """What one step of the mapped pipeline is built from."""

    x: int


@task
def noop(x: int) -> int:
    """The call whose cost is all overhead."""
    return x


@task
def second(x: int) -> int:
    """Follows noop item by item."""
    return x


@task
def third(x: int) -> int:
    """Follows second item by item."""
    return x


@task
def total(values: Sequence[int]) -> int:
    """The reduce."""
    return sum(values)


@task
def items(n: int) -> list[Item]:
    """Specs for the mapped pipeline."""
    return [Item(pipeline="per_item", x=x) for x in range(n)]


@pipeline
def one_map(spec: Params) -> Any:
    """N calls, and one that looks at none of their results."""
    return [noop.map(range(spec.n)), 1][1]


@pipeline
def chain(spec: Params) -> Any:
    """Three maps that stream, and a reduce over the last."""
    return total(third.map(second.map(noop.map(range(spec.n)))))


@pipeline
def per_item(spec: Item) -> Any:
    """The graph of one item."""
    return second(noop(spec.x))


@pipeline
def steps(spec: Params) -> Any:
    """A pipeline as a step, mapped."""
    return per_item.map(items(spec.n))


@dataclass
class Clock:
    """Wall and processor seconds of what happens inside of `measured`, the latter of this process and all below it."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


def processor_s() -> float:
    """Processor seconds of this process and all below it so far."""
    below = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(process.cpu_times()[:2]) for process in below)


@contextmanager
def measured() -> Iterator[Clock]:
    """Measure what happens inside."""
    clock = Clock()
    cpu, began = processor_s(), time.perf_counter()
    yield clock
    clock.wall_s = time.perf_counter() - began
    clock.cpu_s = processor_s() - cpu


@dataclass
class Reader:
    """A reader of the run that counts, as cheap as one can be."""

    done: int = 0
    first_of: dict[str, float] = field(default_factory=dict)
    """When the first call of each node was done."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallDone):
            self.done += 1
            self.first_of.setdefault(event.node, time.perf_counter())


def execute(graph: Graph, folder: Path, cluster: RunningCluster) -> dict[str, Any]:
    """Run a graph with a journal on disk."""
    me, identity, stop, reader = Process.this(), f"run{time.time_ns()}", Stop(), Reader()
    with Journal.open(folder) as journal:
        journal.start_run(
            RunRow(
                identity, "bench", "bench", "bench.yaml", "", (), "", "/", "running", time.time(), None, None, "", me.host,
                me.pid, me.started, (), {},
            )
        )  # fmt: skip
        store = ResultStore(str(folder / "results"))
        engine = Engine(identity, journal=journal, store=store, emit=reader, stop=stop)
        began = time.perf_counter()
        with measured() as clock:
            client = InlineExecutor(engine.on_output, stop)
            result = engine.execute(graph, RoutedExecutor(client, lambda: cluster.executor(engine.on_output, stop)))
    if result.failed or result.exit_code:
        raise SystemExit(f"{result.failed} calls failed: {result.set_aside[:3]}")
    size = sum(file.stat().st_size for file in folder.glob("journal.sqlite*"))
    return {
        "calls": reader.done, "made": result.executed, "reused": result.reused, "wall_s": clock.wall_s, "cpu_s": clock.cpu_s,
        "journal_bytes": size, "first_of": {node: at - began for node, at in reader.first_of.items()},
    }  # fmt: skip


def on(kind: str, folder: Path, graph: Graph) -> dict[str, Any]:
    """Run a graph inline or on a local cluster that has made its first calls already."""
    if kind == "inline":
        return execute(graph, folder, open_cluster(InlineCluster(), folder))
    with local(folder) as running:
        execute(one_map.build(Params(pipeline="one_map", n=20)), folder / "warm", running)
        return execute(graph, folder, running)


def local(folder: Path) -> RunningCluster:
    """A local cluster as runs have it: worker processes of one thread, TLS, loopback."""
    return open_cluster(LocalCluster(workers=Workers(min=WORKERS, max=WORKERS)), folder)


def resume(n: int, folder: Path) -> dict[str, Any]:
    """The second run of a graph whose first another process has made."""
    words = [sys.executable, __file__, "inline", str(n), str(folder)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    found = on("inline", folder, one_map.build(Params(pipeline="one_map", n=n)))
    if found["made"]:
        raise SystemExit(f"{found['made']} calls were made again")
    return found


def client_map(n: int, folder: Path) -> dict[str, Any]:
    """The same calls through bare Dask futures on an equal cluster, warm as well; nothing is kept."""
    import distributed

    with local(folder) as cluster:
        client = cluster.session.client  # type: ignore[attr-defined]
        client.gather(client.map(noop.fn, range(20), pure=False))
        with client.as_current(), measured() as clock:
            futures = client.map(noop.fn, range(n), pure=False)
            distributed.wait(futures)
    return {"calls": n, "wall_s": clock.wall_s, "cpu_s": clock.cpu_s}


def floor(n: int, folder: Path) -> dict[str, Any]:
    """A loop that makes the call and writes its row, in batches, to a journal like ours."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE calls (item INTEGER PRIMARY KEY, result INTEGER)")
    with measured() as clock:
        for begin in range(0, n, FLOOR_BATCH):
            rows = [(item, noop.fn(item)) for item in range(begin, min(n, begin + FLOOR_BATCH))]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO calls VALUES (?, ?)", rows)
            connection.execute("COMMIT")
    connection.close()
    return {"calls": n, "wall_s": clock.wall_s, "cpu_s": clock.cpu_s}


def _run(kind: str, graph: Callable[[Params], Graph]) -> Callable[[int, Path], dict[str, Any]]:
    return lambda n, folder: on(kind, folder, graph(Params(pipeline="bench", n=n)))


CASES: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "floor": floor,
    "inline": _run("inline", one_map.build),
    "local": _run("local", one_map.build),
    "client_map": client_map,
    "resume": resume,
    "chain_inline": _run("inline", chain.build),
    "chain_local": _run("local", chain.build),
    "steps_inline": _run("inline", steps.build),
    "steps_local": _run("local", steps.build),
}


def main(case: str, n: int, folder: Path) -> None:
    """Measure and print."""
    found = CASES[case](n, folder)
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
