"""The graph: what is to be done, as nodes in the order in which a pipeline named them. Pure: nothing here computes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swath.errors import PipelineError
from swath.graph.ref import Ref, fill, node_of, refs_in

if TYPE_CHECKING:
    from swath.graph.pipeline import Pipeline
    from swath.graph.task import Task


@dataclass(frozen=True)
class Node:
    """One task call, one mapped call, or a pipeline used as a step."""

    name: str
    """Unique in its graph."""
    target: Task | Pipeline
    args: tuple[Any, ...]
    """Templates: values with Refs in them. Of a mapped node: sequences, or Refs to such."""
    kwargs: dict[str, Any]
    when: Any = True
    """A value or a Ref; the node is skipped when it is false."""
    mapped: bool = False

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the nodes whose results it takes, each once, in order."""
        refs = (*refs_in(self.args), *refs_in(self.kwargs), *refs_in(self.when))
        return tuple(dict.fromkeys(node_of(ref) for ref in refs))


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after what it needs, and the template of the result."""

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
        """The same graph with `prefix` before every node's name, to stand inside another."""

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


@dataclass
class Builder:
    """Collects the nodes while a pipeline function runs."""

    pipeline: str
    nodes: dict[str, Node] = field(default_factory=dict)

    def add(
        self, target: Task | Pipeline, args: tuple[Any, ...], kwargs: dict[str, Any], *, when: Any, mapped: bool
    ) -> Ref:
        name, number = target.name, 1
        while name in self.nodes:
            number += 1
            name = f"{target.name}-{number}"
        node = Node(name, target, args, kwargs, when, mapped)
        for need in node.needs:
            if need not in self.nodes:
                raise PipelineError(
                    f"{self.pipeline}: {name} takes the result of {need!r}, which belongs to another graph",
                    remedy="pass values between pipelines through what they return",
                )
        self.nodes[name] = node
        return Ref(name)


_builder: ContextVar[Builder | None] = ContextVar("swath_builder", default=None)


def current_builder() -> Builder | None:
    """The builder of the pipeline function that is running, if one is."""
    return _builder.get()


@contextlib.contextmanager
def building(pipeline: str) -> Iterator[Builder]:
    """Collect the calls that are made inside."""
    builder = Builder(pipeline)
    token = _builder.set(builder)
    try:
        yield builder
    finally:
        _builder.reset(token)
