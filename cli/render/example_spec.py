"""Example of a Spec with placeholder values, to draw a pipeline's graph without a spec file."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from swath.graph.graph import Graph
from swath.graph.pipeline import Pipeline


class Unknown:
    """Placeholder of a value that only a spec or a run can give; its attributes are placeholders too."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown(f"{self._name}.{name}")

    def __repr__(self) -> str:
        return self._name


def example_graph(pipeline: Pipeline) -> Graph:
    """The graph of a pipeline from an example of its Spec. Raises what the pipeline raises when it computes with placeholders."""
    return pipeline.build(example(pipeline.spec_class))


def example(model: type[BaseModel]) -> Any:
    """An instance with the defaults, and placeholders of the right type for required fields. It is not validated."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if field.is_required():
            values[name] = _of(field.annotation, name)
        else:
            values[name] = field.get_default(call_default_factory=True, validated_data=values)
    return model.model_construct(**values)


def _of(kind: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _of(arguments[0], name)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return _of(next((a for a in arguments if a is not type(None)), str), name)
    if origin is tuple and Ellipsis not in arguments:
        return tuple(_of(argument, name) for argument in arguments)
    if origin in (tuple, list, set, frozenset):
        return origin([_of(arguments[0] if arguments else str, name)])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {}
    if isinstance(kind, type):
        return _of_class(kind, name)
    return Unknown(name)


def _of_class(kind: type, name: str) -> Any:
    if issubclass(kind, BaseModel):
        return example(kind)
    if issubclass(kind, enum.Enum):
        return next(iter(kind))
    if issubclass(kind, Path):
        return kind(name)
    simple: dict[type, Any] = {bool: False, int: 1, float: 1.0, str: f"<{name}>", dict: {}, list: [], tuple: ()}
    return simple.get(kind, Unknown(name))
