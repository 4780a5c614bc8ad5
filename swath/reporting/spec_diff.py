"""Diff of the specs of two runs: changed values by key, and changed lines of text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swath.engine.journal_rows import RunRow
from swath.errors import SpecError
from swath.spec.yaml import override
from swath.spec.yaml.document import Document, parse


@dataclass(frozen=True)
class ChangedValue:
    """A value that differs between two specs; None where a spec has no such key."""

    key: str
    """Dotted path, such as `imagery.bands.0`."""
    before: str | None
    """As JSON."""
    after: str | None


def changed_values(before: RunRow, after: RunRow) -> Iterator[ChangedValue]:
    """Values that differ, sorted by key. Overrides are applied; references to the environment stay references."""
    one, other = _values(before), _values(after)
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield ChangedValue(key, one.get(key), other.get(key))


def text_diff(before: RunRow, after: RunRow) -> Iterator[str]:
    """Lines of a unified diff of the specs as written."""
    first, second = (f"{row.id}/{row.spec_path}" for row in (before, after))
    return difflib.unified_diff(before.spec_text.splitlines(), after.spec_text.splitlines(), first, second, lineterm="")


def _values(row: RunRow) -> dict[str, str]:
    """Every value of a run's spec, as JSON, by its dotted key; none when the text is no valid YAML."""
    try:
        document = parse(row.spec_text, row.spec_path)
    except SpecError:
        return {}
    overrides, _ = override.read(row.overrides)
    return dict(_flatten(override.apply(document, overrides, _expand).data, ""))


def _expand(document: Document, path: tuple[str | int, ...]) -> Any:
    """A short form (`model: a.pt2`) below which an override sets a key: its value stays, under the empty key."""
    value = document.at(path)
    return value if isinstance(value, (dict, list)) or value is None else {"": value}


def _flatten(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flatten(part, ".".join(filter(None, (key, name))))
    elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        for index, part in enumerate(value):
            yield from _flatten(part, f"{key}.{index}")
    else:
        yield key, json.dumps(value, ensure_ascii=False)
