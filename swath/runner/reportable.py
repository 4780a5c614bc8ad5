"""What the result of a pipeline offers to the run: its outputs, a part of the report, and numbers for a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Reportable(Protocol):
    """A result that has something to say in the run's report. swath.storage.publication.Published is one."""

    def report(self) -> dict[str, Any]:
        """Plain values for the report. `folder` is where the result was published: the report is written there too.
        `numbers` are for the table of a matrix. `megapixels` of a map let later runs estimate their duration."""
        ...


@runtime_checkable
class Publishing(Protocol):
    """A result that has published files."""

    def outputs(self) -> list[str]:
        """Their paths or URLs."""
        ...


def report(value: Any) -> dict[str, Any]:
    """What a result says for the report; empty for a result that says nothing."""
    return dict(value.report()) if isinstance(value, Reportable) else {}


def outputs(value: Any) -> list[str]:
    """The lines that a run prints for its result: what was published, or the value itself."""
    if value is None:
        return []
    if isinstance(value, Publishing):
        return [str(output) for output in value.outputs()]
    if isinstance(value, (list, tuple)):
        return [line for part in value for line in outputs(part)]
    return [value if isinstance(value, str) else repr(value)]


def numbers(value: Any, about: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a result: `numbers` of its report (`about`), else the numbers in its report, or in itself."""
    values: Any = about.get("numbers", about) or value
    if not isinstance(values, Mapping):
        values = {"result": values}
    found = {str(name): _plain(number) for name, number in values.items()}
    return {name: number for name, number in found.items() if isinstance(number, (bool, int, float))}


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
