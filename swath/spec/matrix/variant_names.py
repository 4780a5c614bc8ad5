"""Names of the variants of a matrix: short, unique, safe as folder names, the same in every run."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_VALUE_LENGTH = 40
"""Characters of one value in a name at most."""
MAX_LENGTH = 120
"""Characters of a name at most: file systems allow 255 bytes, and names of staging folders and locks are longer."""

Values = Mapping[str, Any]
"""A variant's values by dotted field, as they were written."""


def names(variants: Sequence[Values]) -> list[str]:
    """A name for each variant, such as `area=a,model=x`. The variants must differ.

    A value is abbreviated to its last part, such as the stem of a path. If the abbreviations of two values of a field are the
    same, the full values are used, and a part of their hash if these are the same too. Names differ in more than case.
    """
    fields = dict.fromkeys(field for values in variants for field in values)
    heads = _heads(list(fields))
    texts = {field: _texts([values[field] for values in variants if field in values]) for field in fields}
    found = [
        _fitting(",".join(f"{heads[f]}={texts[f][canonical(v)]}" for f, v in values.items()), values)
        for values in variants
    ]
    counts = Counter(name.casefold() for name in found)
    return [
        name if counts[name.casefold()] == 1 else _fitting(f"{name},{_hash(dict(values))}", values)
        for name, values in zip(found, variants, strict=True)
    ]


def canonical(value: Any) -> str:
    """Plain data as a text that differs for different values: 1, 1.0, true and "1" are four."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _heads(fields: list[str]) -> dict[str, str]:
    """The name of each field: its last part, or all of it if two fields have the same last part."""
    ends = Counter(field.rpartition(".")[2].casefold() for field in fields)
    return {field: _safe(end if ends[(end := field.rpartition(".")[2]).casefold()] == 1 else field) for field in fields}


def _texts(values: Iterable[Any]) -> dict[str, str]:
    """The different values of a field in canonical form, and the text of each in names."""
    different = {canonical(value): value for value in values}
    texts = {key: _short(value) for key, value in different.items()}
    for key in _ambiguous(texts):
        texts[key] = _full(different[key])
    for key in _ambiguous(texts):
        texts[key] = "-".join(part for part in (texts[key][:20], _hash(different[key])) if part)
    return texts


def _ambiguous(texts: Mapping[str, str]) -> list[str]:
    """The values whose text is empty or not unique."""
    counts = Counter(text.casefold() for text in texts.values())
    return [key for key, text in texts.items() if not text or counts[text.casefold()] > 1]


def _short(value: Any) -> str:
    if isinstance(value, str):
        last = value.rstrip("/").rpartition("/")[2]
        stem, dot, ending = last.rpartition(".")
        return _value(stem if dot and stem and not ending.isdecimal() else last)
    if isinstance(value, dict):
        label = next((value[key] for key in ("name", "path", "to", "url", "kind") if key in value), None)
        return _short(label) if isinstance(label, str) else _full(value)
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
    """The characters that file systems, shells and URLs allow without quoting."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", plain).strip("-.")


def _fitting(name: str, values: Values) -> str:
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 9].rstrip(',=')}-{_hash(dict(values))}"


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:8]
