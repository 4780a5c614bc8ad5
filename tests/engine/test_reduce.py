"""A node that takes all results of a mapped node reads them from the journal: those of its own run, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from tests.engine.conftest import Bench, start_or_resume


class Params(Spec):
    n: int = 4
    folder: str = ""


def graph(function: Callable[[Params], Any], **params: Any) -> Graph:
    function.__annotations__["spec"] = Params
    return pipeline(function).build(Params(**params))


def test_results_of_uncached_maps_are_each_run_s_own_when_two_run_at_once(tmp_path: Path) -> None:
    """The journal holds both; each reduce reads back the items of its run."""
    home = tmp_path / "state"

    @task(cache=False)
    def look(x: int, *, file: str) -> str:
        return f"{Path(file).read_text()}{x}"

    @task(cache=False)
    def join(values: Sequence[str]) -> str:
        return " ".join(values)

    world = tmp_path / "world"

    @task(cache=False)
    def other_run(before: Sequence[str]) -> str:
        world.write_text("b")
        Bench_b = Bench(home, inline_cluster(tmp_path))
        return str(Bench_b.value(graph(lambda spec: join(look.map(range(5), file=spec.folder)), folder=str(world))))

    def job(spec: Params) -> Any:
        seen = look.map(range(5), file=spec.folder)
        other = other_run(seen)
        return {"mine": join(after(seen, other)), "other": other}

    @task(cache=False)
    def after(seen: Sequence[str], other: str) -> list[str]:
        return list(seen)

    world.write_text("a")
    value = Bench(home, inline_cluster(tmp_path)).value(graph(job, folder=str(world)))
    assert value == {"mine": "a0 a1 a2 a3 a4", "other": "b0 b1 b2 b3 b4"}


def inline_cluster(folder: Path) -> Any:
    from swath.cluster.open import open_cluster
    from swath.spec.clusters.cluster import InlineCluster

    return open_cluster(InlineCluster(), folder)


def test_a_resumed_run_reads_back_only_what_is_still_of_it(tmp_path: Path) -> None:
    """What the outside world gave is another list now, and an item that was there is set aside: no old row comes back."""
    home = tmp_path / "state"
    world = tmp_path / "world"

    @task(cache=False)
    def find(file: str) -> list[int]:
        return [int(word) for word in Path(file).read_text().split()]

    @task(cache=False)
    def fetch(x: int, *, file: str) -> int:
        if x == 3 and "9" in Path(file).read_text():
            raise ValueError("three is gone")
        return x

    @task
    def refine(x: int) -> int:
        return 10 * x

    @task(cache=False)
    def join(values: Sequence[int]) -> list[int]:
        return list(values)

    def job(spec: Params) -> Any:
        return join(refine.map(fetch.map(find(spec.folder), file=spec.folder)))

    def session() -> Any:
        stop = Stop()
        store = ResultStore(str(home / "results"))
        with Journal.open(home) as journal:
            start_or_resume(journal, "run")
            engine = Engine("run", journal=journal, store=store, emit=lambda event: None, stop=stop)
            result = engine.execute(graph(job, folder=str(world)), InlineExecutor(engine.on_output, stop))
        assert result.value is not None
        return store.get(result.value)

    world.write_text("1 2 3 4 5 6")
    assert session() == [10, 20, 30, 40, 50, 60]
    world.write_text("9 2 3 4")
    assert session() == [90, 20, 40]
