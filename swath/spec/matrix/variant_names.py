"""Names of a matrix's variants: short, readable, safe as names of folders, each once, the same in every run."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_VALUE_LENGTH = 40
"""Characters of one value in a name."""
MAX_LENGTH = 120
"""Characters of a name; file systems take 255 bytes, and staging folders and locks add to it."""

Values = Mapping[str, Any]
"""A variant's values by dotted field, as they were written."""


def names(variants: Sequence[Values]) -> list[str]:
    """A name for each variant, such as `area=a,model=x`. Equal variants are expected to be refused before.

    A value is told by what is last in it: the stem of a path. Where two values of a field would be told alike, they are
    told in full, and by a piece of their hash where that is not enough. Names differ in more than case.
    """
    fields = dict.fromkeys(field for values in variants for field in values)
    heads = _heads(list(fields))
    told = {field: _told([values[field] for values in variants if field in values]) for field in fields}
    found = [
        _fitting(",".join(f"{heads[f]}={told[f][canonical(v)]}" for f, v in values.items()), values)
        for values in variants
    ]
    counts = Counter(name.casefold() for name in found)
    return [
        name if counts[name.casefold()] == 1 else _fitting(f"{name},{_hash(dict(values))}", values)
        for name, values in zip(found, variants, strict=True)
    ]


def canonical(value: Any) -> str:
    """Plain data as text that is equal for equal values only: 1, 1.0, true and "1" are four."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _heads(fields: list[str]) -> dict[str, str]:
    """What a field is called: its last part, or all of it where two fields end alike."""
    ends = Counter(field.rpartition(".")[2].casefold() for field in fields)
    return {field: _safe(end if ends[(end := field.rpartition(".")[2]).casefold()] == 1 else field) for field in fields}


def _told(values: Iterable[Any]) -> dict[str, str]:
    """The different values of a field, and what each is called."""
    different = {canonical(value): value for value in values}
    told = {key: _short(value) for key, value in different.items()}
    for key in _alike(told):
        told[key] = _full(different[key])
    for key in _alike(told):
        told[key] = "-".join(part for part in (told[key][:20], _hash(different[key])) if part)
    return told


def _alike(told: Mapping[str, str]) -> list[str]:
    """Those that are called like another one, or nothing."""
    counts = Counter(text.casefold() for text in told.values())
    return [key for key, text in told.items() if not text or counts[text.casefold()] > 1]


def _short(value: Any) -> str:
    if isinstance(value, str):
        last = value.rstrip("/").rpartition("/")[2]
        stem, dot, ending = last.rpartition(".")
        return _value(stem if dot and stem and not ending.isdecimal() else last)
    if isinstance(value, dict):
        telling = next((value[key] for key in ("name", "path", "to", "url", "kind") if key in value), None)
        return _short(telling) if isinstance(telling, str) else _full(value)
    return _full(value)


def _full(value: Any) -> str:
    if isinstance(value, dict):
        return _cut("-".join(f"{_safe(key)}-{_full(part)}" for key, part in value.items()))
    if isinstance(value, list):
        return _cut("_".join(_full(part) for part in value))
    return _value(value) if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _value(text: str) -> str:
    return _cut(_safe(text))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 9]}-{_hash(text)}"


def _safe(text: str) -> str:
    """Only what every file system, shell and URL takes as it is."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", plain).strip("-.")


def _fitting(name: str, values: Values) -> str:
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 9].rstrip(',=')}-{_hash(dict(values))}"


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:8]
