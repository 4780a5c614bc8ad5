"""Measurements of receptive fields in the user's cache folder: the same weights are measured once for all projects of a user.

A measurement is used only if its file belongs to this user, nobody else can write it, and it is of these weights, this code and this
version of the library that runs them. Else, and where it cannot be written, the network is measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, get_type_hints

from swath.models.contract import ReceptiveField, Weights
from swath.models.info import measure_weights
from swath.owned_file import owned_text
from swath.version import __version__

_MAX_BYTES = 1 << 16


def measure_once(
    weights: Weights, measure: Callable[[Weights], ReceptiveField] = measure_weights, cache: Path | None = None
) -> ReceptiveField:
    """The receptive field of a network, from an earlier measurement of the same weights if there is one.

    cache: folder of the measurements; the user's own when not given. Raises what `measure` raises.
    """
    facts = _facts(weights)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    record = (cache or _user_cache()) / f"{digest}.json"
    if (found := _read(record, facts)) is not None:
        return found
    found = measure(weights)
    _write(record, {"facts": facts, "field": dataclasses.asdict(found)})
    return found


def _facts(weights: Weights) -> dict[str, Any]:
    """Everything that a measurement depends on, as JSON gives it back; not where the file is."""
    fields = dataclasses.asdict(weights)
    del fields["path"]
    library = {"onnx": "onnxruntime", "function": "numpy"}.get(weights.format, "torch")
    try:
        version = metadata.version(library)
    except metadata.PackageNotFoundError:
        version = ""
    code = hashlib.sha256(
        b"".join(each.read_bytes() for each in sorted(Path(__file__).parent.glob("*.py")))
    ).hexdigest()
    facts = {**fields, "swath": __version__, "code_of_swath": code, library: version}
    read: dict[str, Any] = json.loads(json.dumps(facts))  # tuples as lists
    return read


def _user_cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path(os.path.expanduser("~/.cache"))) / "swath" / "receptive"  # noqa: PTH111


def _read(record: Path, facts: Mapping[str, Any]) -> ReceptiveField | None:
    """The measurement in a file; None unless it passes all checks."""
    try:
        document = json.loads(owned_text(record, _MAX_BYTES))
        field = document["field"] if document["facts"] == facts else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    types = get_type_hints(ReceptiveField)
    if not isinstance(field, dict) or {name: type(value) for name, value in field.items()} != types:
        return None
    found = ReceptiveField(**field)
    return found if found.radius >= 0 and found.stride >= 1 and found.smallest >= 1 else None


def _write(record: Path, document: Mapping[str, Any]) -> None:
    if not record.is_absolute():  # a user without a home
        return
    with contextlib.suppress(OSError):  # a home that cannot be written: measured again next time
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=record.parent, suffix=".partial", delete=False) as file:
            json.dump(document, file)
        Path(file.name).replace(record)
