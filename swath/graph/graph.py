"""The graph of a pipeline: a node for each task call, in topological order. Pure data: nothing here runs a task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from swath.graph.ref import Ref, fill, node_of, refs_in


class Target(Protocol):
    """What a node runs: a `swath.graph.task.Task`, or a `swath.graph.pipeline.Pipeline` used as a step."""

    @property
    def name(self) -> str:
        """The node's name, with a number after it where the graph has the name already."""
        ...

    @property
    def fn(self) -> Callable[..., Any]:
        """The function of the task or of the pipeline."""
        ...


@dataclass(frozen=True)
class Node:
    """One call of a task, a mapped task, or a pipeline used as a step."""

    name: str
    """Unique in its graph."""
    target: Target
    args: tuple[Any, ...]
    """Templates: values with Refs in them. Those of a mapped node are sequences, or Refs to sequences."""
    kwargs: dict[str, Any]
    when: Any = True
    """A value, or a Ref to one; the node is skipped when it is false."""
    mapped: bool = False

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the nodes whose results it needs, each once, in order."""
        refs = (*refs_in(self.args), *refs_in(self.kwargs), *refs_in(self.when))
        return tuple(dict.fromkeys(node_of(ref) for ref in refs))


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the template of the result."""

    pipeline: str
    nodes: tuple[Node, ...]
    result: Any = None

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def prefixed(self, prefix: str) -> Graph:
        """The same graph with `prefix` before every node's name, for use inside another graph."""

        def move(ref: Ref) -> Ref:
            return Ref(prefix + node_of(ref), ref._path)

        nodes = tuple(
            Node(
                prefix + n.name,
                n.target,
                fill(n.args, Ref, move),
                fill(n.kwargs, Ref, move),
                fill(n.when, Ref, move),
                n.mapped,
            )
            for n in self.nodes
        )
        return Graph(self.pipeline, nodes, fill(self.result, Ref, move))
