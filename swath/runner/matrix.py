"""A spec with a matrix as one graph: a step for each variant, and behind each step its row of the table of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.errors import PipelineError, SwathError, UsageError
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import SKIPPED, Ref
from swath.graph.task import task
from swath.spec.loading.load import LoadedSpec
from swath.spec.secrets import masked_errors

ROW = "table-row"
"""Name of the node behind each step, after the step's own. No function has such a name."""
EACH = "each"
"""In the plan of a matrix: name of a variant -> its own plan."""
ADDED = frozenset({"calls", "mapped", "regions", "megapixels", "read_bytes", "map_bytes_at_most"})
"""Values of a plan that are amounts of work, so that those of the variants are added up."""


def graph(pipeline: Pipeline, loaded: LoadedSpec) -> Graph:
    """The graph of a spec; of one with a matrix all its variants side by side.

    The result of such a graph needs none of the variants, so that it has one whatever becomes of them: what they came to is
    in their rows. Raises PipelineError when one of them cannot be built, before anything is started.
    """
    with masked_errors(loaded.secrets, f"pipeline {pipeline.name} cannot be built"):
        return _graph(pipeline, loaded)


def _graph(pipeline: Pipeline, loaded: LoadedSpec) -> Graph:
    if not loaded.variants:
        return pipeline.build(loaded.spec)
    nodes = [Node("variants", variants, (tuple(variant.name for variant in loaded.variants),), {})]
    for variant in loaded.variants:
        try:
            inside = pipeline.build(variant.spec)
        except SwathError as error:
            raise PipelineError(f"{variant.name}: {error.message}", remedy=error.remedy) from error
        name = f"{variant.name}/{ROW}"
        if any(node.name == ROW for node in inside):
            raise PipelineError(
                f"pipeline {pipeline.name} has a node called {ROW!r}, which a matrix needs", remedy="rename it"
            )
        nodes += [Node(variant.name, pipeline, (variant.spec,), {}), Node(name, table_row, (Ref(variant.name),), {})]
    return Graph(f"matrix of {pipeline.name}", tuple(nodes), Ref("variants"))


@task(on_client=True)
def variants(names: tuple[str, ...]) -> tuple[str, ...]:
    """The variants that a run is about."""
    return names


@task(name=ROW, on_client=True, takes_skipped=True)
def table_row(result: Any) -> dict[str, Any]:
    """What a variant's result offers: its outputs, what it says for the report, its numbers. Plain values only."""
    if result is SKIPPED:
        return {"skipped": True, "outputs": [], "about": {}, "numbers": {}}
    about = dict(result.report()) if hasattr(result, "report") else {}
    return {"skipped": False, "outputs": outputs(result), "about": about, "numbers": numbers(result, about)}


def outputs(value: Any) -> list[str]:
    """What a pipeline returned, a line each, for those who ran it: what was published, or the value itself."""
    if value is None:
        return []
    if hasattr(value, "outputs"):
        return [str(output) for output in value.outputs()]
    if isinstance(value, (list, tuple)):
        return [line for part in value for line in outputs(part)]
    return [value if isinstance(value, str) else repr(value)]


def numbers(value: Any, about: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a result offers: those that its report calls so, else the flat ones of its report, or of itself."""
    said: Any = about.get("numbers", about) or value
    if not isinstance(said, Mapping):
        said = {"result": said}
    found = {str(name): _plain(number) for name, number in said.items()}
    return {name: number for name, number in found.items() if isinstance(number, (bool, int, float))}


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def plan(pipeline: Pipeline, loaded: LoadedSpec) -> dict[str, Any]:
    """What a run would take. Of a matrix: how many variants, the work of all, what they have in common, and the plan of each.

    Raises UsageError with everything that is wrong with any of them.
    """
    if not loaded.variants:
        return pipeline.plan(loaded.spec)
    each: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    for variant in loaded.variants:
        try:
            each[variant.name] = pipeline.plan(variant.spec)
        except SwathError as error:
            wrong.append(f"{variant.name}: {error.message}")
    if wrong:
        raise UsageError("\n".join(wrong), remedy="exclude these variants, or mend them")
    plans = list(each.values())
    shared: dict[str, Any] = {}
    for name, value in plans[0].items():
        if name in ADDED:
            shared[name] = _sum([plan.get(name, 0) for plan in plans])
        elif all(plan.get(name) == value for plan in plans):
            shared[name] = value
    return {"variants": len(plans), **shared, EACH: each}


def _sum(values: list[float]) -> float:
    total = sum(values)
    return round(total, 3) if isinstance(total, float) else total
