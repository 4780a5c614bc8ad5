"""Overrides such as `--set imagery.bands=[red, nir]`: values that replace those of a document, parsed by the same rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.errors import Mistake, SpecError
from swath.spec.yaml.document import MAX_DEPTH, Document, Mark, Path, dotted, parse

Expand = Callable[[Document, Path], Any]
"""Returns the full form of the value at a path of a document, if it is a short form; else the value."""


@dataclass(frozen=True)
class Override:
    """One value, and the path that it is set at."""

    keys: tuple[str, ...]
    """The parts of the dotted key; indices of lists are decimal numbers."""
    value: Document
    """The value, parsed as a document of its own."""

    @classmethod
    def parse(cls, text: str) -> Override:
        """Parse `a.b.0=value`. Raises SpecError."""
        name, equals, value = text.partition("=")
        keys = tuple(name.strip().split("."))
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            message = "expected key=value, with a dotted key such as imagery.bands.0"
            raise SpecError([Mistake(f"--set {name.strip()}", 1, 1, "", message)])
        document = parse(value, f"--set {dotted(keys)}")
        return cls(keys, replace(document, mistakes=tuple(replace(m, field=dotted(keys)) for m in document.mistakes)))

    @property
    def mark(self) -> Mark:
        """Position of the value."""
        return self.value.marks[()]


def read(overrides: Sequence[str]) -> tuple[list[Override], list[Mistake]]:
    """The overrides that can be parsed, and the mistakes of the others."""
    found: list[Override] = []
    mistakes: list[Mistake] = []
    for text in overrides:
        try:
            found.append(Override.parse(text))
        except SpecError as error:
            mistakes += error.mistakes
    return found, mistakes


def apply(document: Document, overrides: Sequence[Override], expand: Expand = lambda d, p: d.at(p)) -> Document:
    """The document with the overrides applied in order.

    Missing mappings are created. A short form on the path (`model: a.pt2` and `model.factory=...`) is expanded first.
    What cannot be set is a mistake of the document.
    """
    if not overrides:
        return document
    data, marks = copy.deepcopy(document.data), dict(document.marks)
    merged = replace(document, data={} if data is None else data, marks=marks)
    for override in overrides:
        merged = _set(merged, marks, override, expand)
    return merged


def _set(document: Document, marks: dict[Path, Mark], override: Override, expand: Expand) -> Document:
    """The document with one override; its data and `marks` are changed in place."""
    path: Path = ()
    for position, key in enumerate(override.keys):
        last = position == len(override.keys) - 1
        container = document.at(path)
        segment: str | int = key
        if isinstance(container, list):
            index = int(key) if key.isdecimal() and len(key) < 7 else -1
            if not 0 <= index <= len(container):
                return _refuse(document, override, f"{dotted(path)} is a list of {len(container)}; {key} is not in it")
            segment = index
        elif not isinstance(container, dict):
            return _refuse(
                document, override, f"{dotted(path) or 'the spec'} is a single value; no field of it can be set"
            )
        step = (*path, segment)
        if last:
            _put(container, segment, override.value.data)
            for old in [p for p in marks if p[: len(step)] == step]:
                del marks[old]
            marks.update({(*step, *below): mark for below, mark in override.value.marks.items()})
            broken = {p for p in document.broken if p[: len(step)] != step}
            broken |= {(*step, *below) for below in override.value.broken}
            mistakes = (*document.mistakes, *override.value.mistakes)
            return replace(document, broken=frozenset(broken), mistakes=mistakes)
        if step not in marks:
            _put(container, segment, [] if override.keys[position + 1] == "0" else {})
            marks[step] = override.mark
        elif _is_short(document.at(step), override.keys[position + 1]):
            _put(container, segment, expand(document, step) or {})
        path = step
    return document


def _is_short(value: Any, key: str) -> bool:
    """Whether no `key` of the value can be set unless it is expanded."""
    return value is None or isinstance(value, str) or (isinstance(value, list) and not key.isdecimal())


def _put(container: Any, segment: str | int, value: Any) -> None:
    if isinstance(container, list) and segment == len(container):
        container.append(value)
    else:
        container[segment] = value


def _refuse(document: Document, override: Override, message: str) -> Document:
    mistake = override.mark.mistake(override.keys, message)
    return replace(document, mistakes=(*document.mistakes, mistake))
