"""Fingerprints: the same for equal values in any process, so that finished work is found again.

Values are hashed by what they are made of, not by their pickle: two equal values can pickle to different bytes.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from types import FunctionType, NoneType
from typing import Any, Protocol

DIGITS = 32
"""Hex digits of a fingerprint: 128 bits, so that among 10^12 values two are equal by chance once in 10^14 times."""


class Hash(Protocol):
    """What values are fed to."""

    def update(self, data: bytes, /) -> object: ...


def fingerprint(value: Any) -> str:
    """Hex digest of a value. Values that cannot be taken apart are hashed by their pickle."""
    if type(value) in _PLAIN:
        return hashlib.sha256(_plain(value).encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    state = hashlib.sha256()
    feed(state, value)
    return state.hexdigest()[:DIGITS]


def fingerprints_after(prefix: Any) -> Callable[[Any], str]:
    """A function that gives the fingerprint of `prefix` and a value together, for many values after one prefix."""
    base = hashlib.sha256()
    feed(base, prefix)

    def after(value: Any) -> str:
        state = base.copy()
        feed(state, value)
        return state.hexdigest()[:DIGITS]

    return after


def feed(state: Hash, value: Any) -> None:
    """Put what a value is made of into a hash."""
    known = _KNOWN.get(type(value))
    (known or _feed_other)(state, value)


def _plain(value: Any) -> str:
    """A plain value as a text that says where it ends."""
    return f"{type(value).__name__}:{value!r};"


def _feed_plain(state: Hash, value: Any) -> None:
    state.update(_plain(value).encode("utf-8", "surrogatepass"))


def _feed_sequence(state: Hash, value: Any) -> None:
    plain = [f"{type(value).__name__}:{len(value)}:"]
    for part in value:
        if type(part) in _PLAIN:
            plain.append(_plain(part))
        else:
            state.update("".join(plain).encode("utf-8", "surrogatepass"))
            plain.clear()
            feed(state, part)
    state.update("".join(plain).encode("utf-8", "surrogatepass"))


def _feed_bytes(state: Hash, value: Any) -> None:
    state.update(b"bytes:%d:" % len(value))
    state.update(value)


def _feed_mapping(state: Hash, value: Mapping[Any, Any]) -> None:
    state.update(b"mapping:%d:" % len(value))
    for key, part in sorted((fingerprint(key), part) for key, part in value.items()):
        state.update(key.encode())
        feed(state, part)


_PLAIN = frozenset({NoneType, bool, int, float, complex, str})
_KNOWN: dict[type, Callable[[Hash, Any], None]] = {
    **dict.fromkeys(_PLAIN, _feed_plain),
    **dict.fromkeys((tuple, list), _feed_sequence),
    **dict.fromkeys((bytes, bytearray), _feed_bytes),
    dict: _feed_mapping,
}
"""The usual types, found at once: a million calls have a million keys."""


def _feed_other(state: Hash, value: Any) -> None:
    if isinstance(value, enum.Enum):
        state.update(f"enum:{_named(type(value))}.{value.name}".encode())
    elif isinstance(value, type):
        feed(state, ("class", _named(value)))
    elif hasattr(value, "__dask_tokenize__"):  # GeoBox and many other scientific types name their parts so
        feed(state, (_named(type(value)), value.__dask_tokenize__()))
    elif isinstance(value, (bool, int, float, complex, str)):
        _feed_plain(state, value)
    elif isinstance(value, memoryview):
        _feed_bytes(state, value.tobytes())
    elif isinstance(value, Mapping):
        _feed_mapping(state, value)
    elif isinstance(value, Set):
        state.update(b"set:%d:" % len(value))
        for key in sorted(fingerprint(part) for part in value):
            state.update(key.encode())
    elif isinstance(value, (PurePath, datetime.date, datetime.time, datetime.timedelta)):
        feed(state, (_named(type(value)), str(value)))
    elif isinstance(value, FunctionType):
        from swath.engine.code_hash import code_fingerprint

        feed(state, ("function", code_fingerprint(value)))
    elif dataclasses.is_dataclass(value):
        state.update(f"dataclass:{_named(type(value))}:".encode())
        for field in dataclasses.fields(value):
            feed(state, (field.name, getattr(value, field.name)))
    elif hasattr(type(value), "model_fields"):
        state.update(f"model:{_named(type(value))}:".encode())
        for name in type(value).model_fields:
            feed(state, (name, getattr(value, name)))
    elif hasattr(value, "__array_interface__") and hasattr(value, "tobytes") and not value.dtype.hasobject:
        feed(state, ("array", str(value.dtype), value.shape))
        state.update(value.tobytes())
    else:
        _feed_unknown(state, value)


def _feed_unknown(state: Hash, value: Any) -> None:
    from swath.engine.code_hash import code_fingerprint
    from swath.graph.pipeline import Pipeline
    from swath.graph.task import Task

    if isinstance(value, Task):
        feed(state, ("task", code_fingerprint(value.fn), value.policy.version))
    elif isinstance(value, Pipeline):
        feed(state, ("pipeline", code_fingerprint(value.fn)))
    else:
        import cloudpickle

        feed(state, ("pickle", _named(type(value)), cloudpickle.dumps(value)))


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
