"""The builder of a graph: collects a node for each task call while a pipeline function runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from swath.errors import PipelineError
from swath.graph.graph import Node, Target
from swath.graph.ref import Ref


@dataclass
class Builder:
    """Collects nodes while a pipeline function runs."""

    pipeline: str
    """Name of the pipeline, for messages."""
    nodes: dict[str, Node] = field(default_factory=dict)
    """By name, in the order in which they were added."""

    def add(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], *, when: Any, mapped: bool) -> Ref:
        """Add a node and return a Ref to its result. Raises PipelineError for a Ref to a node of another graph."""
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
    """Inside, calls of tasks and pipelines add nodes to this builder."""
    builder = Builder(pipeline)
    token = _builder.set(builder)
    try:
        yield builder
    finally:
        _builder.reset(token)
