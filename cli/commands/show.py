"""`pipe show`: a pipeline's parameters and its graph."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from swath.cli.context import here
from swath.cli.render import parameters
from swath.cli.render.example_spec import example_graph
from swath.cli.render.graph_outline import Outline, outline
from swath.cli.render.graph_text import dot, draw
from swath.errors import UsageError
from swath.graph.pipeline import Pipeline
from swath.project.registry import PipelineEntry, Registry
from swath.runner.job import Job
from swath.runner.load import load
from swath.spec.base import Spec
from swath.spec.locations import is_stream


def show(
    what: str, sets: list[str], allow_env: list[str], *, as_json: bool, as_dot: bool, everything: bool = False
) -> int:
    """Print a pipeline by its name, or the pipeline of a spec with the graph that the spec makes.

    everything: also the keys of parameters that are mappings, and the whole descriptions.
    """
    if as_json and as_dot:
        raise UsageError("--json and --dot are two ways to print: give one")
    job: Job | None = None
    graph: Outline | None
    if is_stream(what) or Path(what).is_file() or what.endswith((".yaml", ".yml")):
        job = load(what, sets, trust=False, allow_env=allow_env)
        entry = job.registry.entries[job.loaded.pipeline]
        graph, why = outline(job.graph), ""
    else:
        registry = Registry.of(here())
        entry = registry.entries[registry.find(what).name]
        graph, why = _from_example(entry.pipeline)
    variants = job.loaded.variants if job is not None else ()
    if as_dot:
        if graph is None:
            raise UsageError(f"the graph of {what} {why}", remedy="pipe show SPEC --dot shows the graph of a spec")
        print(dot(graph))
    elif as_json:
        fields = _plain(entry, graph, why)
        fields["variants"] = [{"name": variant.name, "values": variant.values} for variant in variants]
        print(json.dumps(fields, ensure_ascii=False, indent=2))
    elif job is not None and variants:
        _print(entry, everything=everything)
        _print_variants(job)
    else:
        _print(entry, everything=everything)
        _print_graph(graph, why)
    return 0


def _from_example(pipeline: Pipeline) -> tuple[Outline | None, str]:
    """The graph of a pipeline without a spec, and a remark on it; None when the pipeline needs values of a spec."""
    try:
        return outline(example_graph(pipeline), counted=False), "is that of an example; a spec may make another"
    except Exception as error:  # noqa: BLE001 - the pipeline's own code, on stand-ins: it may need real values
        return None, f"depends on values in the spec ({type(error).__name__} without them)"


def _schema(pipeline: Pipeline) -> dict[str, Any]:
    from swath.spec.loading.schema import schema

    return schema(pipeline.spec_class, pipeline.name)


def _plain(entry: PipelineEntry, graph: Outline | None, why: str) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "origin": entry.origin,
        "parameters": parameters.to_plain(parameters.parameters(_schema(entry.pipeline))),
        "graph": graph.to_plain() if graph else None,
        "graph_note": why,
    }


def _print(entry: PipelineEntry, *, everything: bool) -> None:
    """Its name and its parameters."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    print(f"{entry.name}: {entry.summary}" if entry.summary else entry.name)
    print(f"from {entry.origin}")
    found = parameters.parameters(_schema(entry.pipeline))
    own = tuple(p for p in found if p.name not in Spec.reserved)
    print("\nParameters" if everything else f"\nParameters (with all their keys: pipe show {entry.name} --all)")
    for line in (parameters.to_lines if everything else parameters.to_short_lines)(own, width, "  "):
        print(line)
    common = ", ".join(p.name for p in found if p.name in Spec.reserved)
    if common:
        print(f"  and what every spec may say: {common}")


def _print_graph(graph: Outline | None, why: str) -> None:
    print("\nGraph" + (f" (it {why})" if why and graph else ""))
    if graph is None:
        print(f"  {why}; `pipe show SPEC` draws that of a spec")
        return
    _draw(graph)


def _print_variants(job: Job) -> None:
    """The variants of a matrix, under each graph that they have."""
    variants = job.loaded.variants
    drawings: dict[str, tuple[Outline, list[str]]] = {}
    for variant, built in zip(variants, job.variant_graphs, strict=True):
        graph = outline(built)
        drawings.setdefault("\n".join(draw(graph)), (graph, []))[1].append(variant.name)
    print(f"\nMatrix: {len(variants)} {'variant' if len(variants) == 1 else 'variants'} in one run")
    for graph, names in drawings.values():
        for name in names:
            print(f"  {name}")
        print(f"\nGraph of {'each' if len(names) == len(variants) else 'these'}")
        _draw(graph)
        print()


def _draw(graph: Outline) -> None:
    for line in draw(graph, unicode=_unicode()):
        print(f"  {line}".rstrip())


def _unicode() -> bool:
    """Whether stdout can print the lines of the drawing."""
    try:
        "│●×".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
