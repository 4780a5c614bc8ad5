"""A spec with a matrix as one graph: a step for each variant, and behind each step its row of the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swath.errors import PipelineError, SwathError, UsageError
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import SKIPPED, Ref
from swath.graph.task import task
from swath.runner.reportable import numbers, outputs, report
from swath.spec.loading.load import LoadedSpec

ROW = "table-row"
"""Name of the node behind each step, after the step's own. No function has such a name."""
EACH = "each"
"""In the plan of a matrix: name of a variant -> its own plan."""
ADDED = frozenset({"calls", "mapped", "regions", "megapixels", "read_bytes", "map_bytes_at_most"})
"""Values of a plan that are amounts of work, so that those of the variants are added up."""


def variant_graphs(pipeline: Pipeline, loaded: LoadedSpec) -> tuple[Graph, ...]:
    """The graph of each variant; one graph for a spec without a matrix. Raises PipelineError when one cannot be built."""
    if not loaded.variants:
        return (pipeline.build(loaded.spec),)
    graphs = []
    for variant in loaded.variants:
        try:
            graphs.append(pipeline.build(variant.spec))
        except SwathError as error:
            raise PipelineError(f"{variant.name}: {error.message}", remedy=error.remedy) from error
    return tuple(graphs)


def joined(pipeline: Pipeline, loaded: LoadedSpec, graphs: Sequence[Graph]) -> Graph:
    """One graph of `variant_graphs`: of a matrix a step for each variant, side by side.

    The result of such a graph needs none of the variants, so it has one whatever happens to them: what they came to is in their
    rows. Raises PipelineError when a pipeline uses a name that the rows need.
    """
    if not loaded.variants:
        return graphs[0]
    nodes = [Node("variants", variants, (tuple(variant.name for variant in loaded.variants),), {})]
    for variant, inside in zip(loaded.variants, graphs, strict=True):
        name = f"{variant.name}/{ROW}"
        if any(node.name == ROW for node in inside):
            raise PipelineError(
                f"pipeline {pipeline.name} has a node called {ROW!r}, which a matrix needs", remedy="rename it"
            )
        nodes += [Node(variant.name, pipeline, (variant.spec,), {}), Node(name, table_row, (Ref(variant.name),), {})]
    return Graph(f"matrix of {pipeline.name}", tuple(nodes), Ref("variants"))


@task(on_client=True)
def variants(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the run's variants."""
    return names


@task(name=ROW, on_client=True, takes_skipped=True)
def table_row(result: Any) -> dict[str, Any]:
    """What a variant's result offers, as plain values: its outputs, its part of the report (`about`), its numbers."""
    if result is SKIPPED:
        return {"skipped": True, "outputs": [], "about": {}, "numbers": {}}
    about = report(result)
    return {"skipped": False, "outputs": outputs(result), "about": about, "numbers": numbers(result, about)}


def plan(pipeline: Pipeline, loaded: LoadedSpec, graphs: Sequence[Graph] | None = None) -> dict[str, Any]:
    """What a run would take. Of a matrix: how many variants, the work of all, what they have in common, and the plan of each.
    graphs: of `variant_graphs`, where they are built already.

    Raises UsageError with everything that is wrong with any of them.
    """
    if not loaded.variants:
        return pipeline.plan(loaded.spec, graphs[0] if graphs is not None else None)
    each: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    built: Sequence[Graph | None] = graphs if graphs is not None else [None] * len(loaded.variants)
    for variant, graph in zip(loaded.variants, built, strict=True):
        try:
            each[variant.name] = pipeline.plan(variant.spec, graph)
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
