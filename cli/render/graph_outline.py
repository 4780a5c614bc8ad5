"""Outline of a graph: its nodes with what they depend on, and the nodes inside of steps; for text, Graphviz and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swath.cli.render.example_spec import Unknown, example_graph
from swath.errors import PipelineError
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import Ref, node_of, refs_in


@dataclass(frozen=True)
class OutlineNode:
    """One node of an outline."""

    name: str
    target: str
    """Name of the task or pipeline that it calls."""
    needs: tuple[str, ...]
    when: str
    """The condition under which it runs; empty when it always does."""
    mapped: bool
    count: int | None
    """Number of calls of a mapped node, when it is known before the run."""
    over: str
    """What a mapped node maps over, when that is another node's result."""
    step: Outline | None = None
    """The nodes of a pipeline used as a step."""
    unopened: str = ""
    """Why the nodes of a step are not known."""

    @property
    def remark(self) -> str:
        """Shown behind its name, such as `map over plan_blocks, when check.wet`."""
        words = []
        if self.mapped:
            words.append(
                f"× {self.count}" if self.count is not None else f"map over {self.over}" if self.over else "map"
            )
        if self.when:
            words.append(f"when {self.when}")
        if self.target != self.name.rpartition("/")[2] and not self.name.startswith(f"{self.target}-"):
            words.append(f"calls {self.target}")
        if self.unopened:
            words.append(f"nodes known at run time ({self.unopened})")
        return ", ".join(words)


@dataclass(frozen=True)
class Outline:
    """A graph's nodes in order."""

    pipeline: str
    parts: tuple[OutlineNode, ...]
    result: tuple[str, ...]
    """Nodes whose results the pipeline returns."""

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pipeline": self.pipeline,
            "nodes": [_plain(part) for part in self.parts],
            "result": list(self.result),
        }


def outline(graph: Graph, within: tuple[str, ...] = (), *, counted: bool = True) -> Outline:
    """The outline of a graph.

    within: names of the pipelines that the graph is a step of. counted: whether the numbers of calls are real; they are
    not in a graph made from an example.
    """
    parts = tuple(_part(node, (*within, graph.pipeline), counted) for node in graph)
    return Outline(graph.pipeline, parts, tuple(dict.fromkeys(node_of(ref) for ref in refs_in(graph.result))))


def _part(node: Node, within: tuple[str, ...], counted: bool) -> OutlineNode:
    count, over = _mapped_over(node) if node.mapped else (None, "")
    count = count if counted else None
    when = "" if node.when is True else repr(node.when)
    step, unopened = None, ""
    if isinstance(node.target, Pipeline):
        step, unopened = _inside(node, node.target, within, counted)
    return OutlineNode(node.name, node.target.name, node.needs, when, node.mapped, count, over, step, unopened)


def _mapped_over(node: Node) -> tuple[int | None, str]:
    """Number of calls of a mapped node, if it is known, and the results that it maps over."""
    over = [repr(argument) for argument in node.args if isinstance(argument, Ref)]
    known = [len(a) for a in node.args if not isinstance(a, (Ref, Unknown)) and hasattr(a, "__len__")]
    return (known[0] if known and not over else None), ", ".join(over)


def _inside(node: Node, target: Pipeline, within: tuple[str, ...], counted: bool) -> tuple[Outline | None, str]:
    if target.name in within:
        return None, f"it calls {target.name} again"
    spec: Any = node.args[0] if node.args else None
    if node.mapped and isinstance(spec, Sequence) and not isinstance(spec, str) and spec:
        spec = spec[0]
    try:
        known = not any(True for _ in refs_in(spec)) and not isinstance(spec, Unknown)
        graph = target.build(spec) if known else example_graph(target)
    except PipelineError as error:
        return None, error.message
    except Exception as error:  # noqa: BLE001 - the pipeline's own code, on placeholders: it may need real values
        return None, f"its graph depends on values: {type(error).__name__}"
    return outline(graph, within, counted=counted and known), ""


def _plain(part: OutlineNode) -> dict[str, Any]:
    found: dict[str, Any] = {"name": part.name, "calls": part.target, "needs": list(part.needs), "mapped": part.mapped}
    if part.count is not None:
        found["count"] = part.count
    if part.when:
        found["when"] = part.when
    if part.step is not None:
        found["step"] = part.step.to_plain()
    return found
