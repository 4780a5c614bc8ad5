"""References to results: a Ref stands, while a graph is built, for a value that is known only at run time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from swath.errors import PipelineError


class Skipped:
    """The result of a node that did not run because its `when` was false."""

    _only: Skipped | None = None

    def __new__(cls) -> Skipped:
        if cls._only is None:  # never `or`: the only one is false
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "SKIPPED"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        return (Skipped, ())


SKIPPED = Skipped()


class Ref:
    """What a call of a task returns inside a pipeline. `ref.field` and `ref[key]` stand for a part of the value."""

    __slots__ = ("_node", "_path")
    _node: str
    _path: tuple[tuple[str, Any], ...]

    def __init__(self, node: str, path: tuple[tuple[str, Any], ...] = ()) -> None:
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_path", path)

    def __getattr__(self, name: str) -> Ref:
        if name.startswith("_"):
            raise AttributeError(name)
        return Ref(self._node, (*self._path, ("attribute", name)))

    def __getitem__(self, key: Any) -> Ref:
        return Ref(self._node, (*self._path, ("item", key)))

    def __setattr__(self, name: str, value: Any) -> None:
        raise PipelineError(f"the result of {self._node!r} cannot be changed in a pipeline: change it in a task")

    def __eq__(self, other: object) -> bool:
        raise self._too_early("compared")

    def __lt__(self, other: object) -> bool:
        raise self._too_early("compared")

    def __le__(self, other: object) -> bool:
        raise self._too_early("compared")

    def __gt__(self, other: object) -> bool:
        raise self._too_early("compared")

    def __ge__(self, other: object) -> bool:
        raise self._too_early("compared")

    def _computed(self, *other: object) -> NoReturn:
        raise self._too_early("computed with")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _computed
    __floordiv__ = __mod__ = __pow__ = __and__ = __or__ = __invert__ = __neg__ = __abs__ = _computed

    def __contains__(self, item: object) -> bool:
        raise self._too_early("searched")

    def __hash__(self) -> int:
        return hash((Ref, self._node, self._path))

    def __bool__(self) -> bool:
        raise self._too_early("tested")

    def __iter__(self) -> Iterator[Any]:
        raise self._too_early("iterated over")

    def __len__(self) -> int:
        raise self._too_early("counted")

    def _too_early(self, done: str) -> PipelineError:
        return PipelineError(
            f"{_caller()}the result of {self._node!r} cannot be {done} while the graph is built: it is known only at run time",
            remedy="use when= to run a task or not, .map() for one call per item, or do it in a task",
        )

    def __repr__(self) -> str:
        return self._node + "".join(f".{k}" if kind == "attribute" else f"[{k!r}]" for kind, k in self._path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Ref, (self._node, self._path))


def _caller() -> str:
    """File and line of the code that is being executed outside of this package, such as `pipelines/a.py:12: `."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}: " if frame is not None else ""


def node_of(ref: Ref) -> str:
    """Name of the node whose result `ref` stands for."""
    return ref._node


def path_of(ref: Ref) -> tuple[tuple[str, Any], ...]:
    """Steps from the node's result to its part that `ref` stands for: ("attribute", name) or ("item", key)."""
    return ref._path


def select(value: Any, path: tuple[tuple[str, Any], ...]) -> Any:
    """The part of `value` at `path`."""
    for kind, key in path:
        value = getattr(value, key) if kind == "attribute" else value[key]
    return value


def refs_in(template: Any) -> Iterator[Ref]:
    """Every Ref in a template: a value, or nested lists, tuples and dictionaries with Refs in them. In order."""
    if isinstance(template, Ref):
        yield template
    elif isinstance(template, (list, tuple)):
        for value in template:
            yield from refs_in(value)
    elif isinstance(template, dict):
        for value in template.values():
            yield from refs_in(value)


def fill(template: Any, kind: type[Any] | tuple[type[Any], ...], put: Callable[[Any], Any]) -> Any:
    """A copy of `template` with each instance of `kind` replaced by `put(it)`."""
    if isinstance(template, kind):
        return put(template)
    if type(template) is list:
        return [fill(value, kind, put) for value in template]
    if type(template) is tuple:
        return tuple(fill(value, kind, put) for value in template)
    if type(template) is dict:
        return {key: fill(value, kind, put) for key, value in template.items()}
    return template
