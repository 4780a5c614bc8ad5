"""Pipelines: functions from a Spec to a Graph. They connect tasks and compute nothing."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from swath.errors import PipelineError
from swath.graph.builder import building, current_builder
from swath.graph.graph import Graph
from swath.graph.ref import node_of, refs_in
from swath.spec.base import Spec

Planner = Callable[[Any], dict[str, Any]]


class Pipeline:
    """A function from a Spec to a Graph. Make one with `@pipeline`."""

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self.fn = fn
        self.name = name
        self._plan: Planner | None = None
        functools.update_wrapper(self, fn)

    @functools.cached_property
    def spec_class(self) -> type[Spec]:
        """The Spec class of its one parameter."""
        parameters = list(inspect.signature(self.fn).parameters)
        try:
            hints = typing.get_type_hints(self.fn)
        except NameError as error:
            raise PipelineError(
                f"pipeline {self.name}: the annotation of its parameter cannot be read: {error}"
            ) from None
        found = hints.get(parameters[0]) if len(parameters) == 1 else None
        if not (isinstance(found, type) and issubclass(found, Spec)):
            raise PipelineError(
                f"pipeline {self.name} must take one parameter annotated with a Spec class",
                remedy=f"write: def {self.fn.__name__}(spec: MySpec), with class MySpec(Spec)",
            )
        return found

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.fn) or "").partition("\n")[0]

    def build(self, spec: Spec | dict[str, Any]) -> Graph:
        """The graph for one spec. Raises PipelineError when the pipeline is built wrongly."""
        if isinstance(spec, dict):
            spec = self.spec_class.model_validate(spec, strict=False)
        if not isinstance(spec, self.spec_class):
            raise PipelineError(f"pipeline {self.name} takes a {self.spec_class.__name__}, not a {type(spec).__name__}")
        with building(self.name) as builder:
            result = self.fn(spec)
        for ref in refs_in(result):
            if node_of(ref) not in builder.nodes:
                raise PipelineError(f"pipeline {self.name} returns the result of {node_of(ref)!r}, which is not in it")
        return Graph(self.name, tuple(builder.nodes.values()), result)

    def planner(self, fn: Planner) -> Planner:
        """Register the function that `pipe plan` calls: what a run would read, compute and write. It may open files, starts nothing."""
        self._plan = fn
        return fn

    def plan(self, spec: Spec, graph: Graph | None = None) -> dict[str, Any]:
        """What a run of `spec` would take, as names and values to show. Without a planner: the numbers of nodes and mapped nodes.
        graph: of the spec, where it is built already."""
        graph = self.build(spec) if graph is None else graph
        if self._plan is not None:
            return self._plan(spec)
        return {"calls": len(graph), "mapped": sum(node.mapped for node in graph)}

    def __call__(self, spec: Any, *, when: Any = True) -> Any:
        """Inside another pipeline: a node that runs this one. Elsewhere: the graph for `spec`."""
        builder = current_builder()
        if builder is None:
            return self.build(spec)
        return builder.add(self, (spec,), {}, when=when, mapped=False)

    def map(self, specs: Any, *, when: Any = True) -> Any:
        """Inside another pipeline: one graph per spec."""
        builder = current_builder()
        if builder is None:
            return [self.build(spec) for spec in specs]
        return builder.add(self, (specs,), {}, when=when, mapped=True)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


@typing.overload
def pipeline(fn: Callable[..., Any], /) -> Pipeline: ...
@typing.overload
def pipeline(*, name: str | None = None) -> Callable[[Callable[..., Any]], Pipeline]: ...
def pipeline(
    fn: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Pipeline | Callable[[Callable[..., Any]], Pipeline]:
    """Make a pipeline of a function from a Spec to what the graph returns."""

    def make(function: Callable[..., Any]) -> Pipeline:
        return Pipeline(function, name or function.__name__)

    return make if fn is None else make(fn)
