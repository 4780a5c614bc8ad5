"""Hashing of values by what they are made of: equal values give equal bytes to the hash in any process.

Not by their pickle, because equal values can pickle to different bytes. Of types that this module does not know, such as
functions and tasks, another module registers how they are hashed (see swath.engine.code_hash). Use swath.engine.fingerprint,
which has all of them.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from types import NoneType
from typing import Any, Protocol

DIGITS = 32
"""Hex digits of a fingerprint: 128 bits, so that among 10^12 values two are equal by chance once in 10^14 times."""


class Hash(Protocol):
    """A hash object of hashlib."""

    def update(self, data: bytes, /) -> object: ...


Feeder = Callable[[Hash, Any], None]
"""Updates a hash with what a value of some type is made of."""


def hex_digest(value: Any) -> str:
    """The first DIGITS hex digits of a value's SHA-256."""
    if type(value) in _PLAIN:
        return hashlib.sha256(_plain(value).encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    state = hashlib.sha256()
    feed(state, value)
    return state.hexdigest()[:DIGITS]


def feed(state: Hash, value: Any) -> None:
    """Update a hash with what a value is made of."""
    known = _KNOWN.get(type(value))
    (known or _feed_other)(state, value)


def _plain(value: Any) -> str:
    """A plain value as a text that no other value's text continues."""
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
    for key, part in sorted((hex_digest(key), part) for key, part in value.items()):
        state.update(key.encode())
        feed(state, part)


_PLAIN = frozenset({NoneType, bool, int, float, complex, str})
_KNOWN: dict[type, Feeder] = {
    **dict.fromkeys(_PLAIN, _feed_plain),
    **dict.fromkeys((tuple, list), _feed_sequence),
    **dict.fromkeys((bytes, bytearray), _feed_bytes),
    dict: _feed_mapping,
}
"""Common types in a table, for speed: a million calls have a million keys."""


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
        for key in sorted(hex_digest(part) for part in value):
            state.update(key.encode())
    elif isinstance(value, (PurePath, datetime.date, datetime.time, datetime.timedelta)):
        feed(state, (_named(type(value)), str(value)))
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
    elif (feeder := _registered(type(value))) is not None:
        feeder(state, value)
    else:
        import cloudpickle

        feed(state, ("pickle", _named(type(value)), cloudpickle.dumps(value)))


def _registered(cls: type) -> Feeder | None:
    for base in cls.__mro__:
        if (feeder := _FEEDERS.get(_named(base))) is not None:
            return feeder
    return None


_FEEDERS: dict[str, Feeder] = {}
"""Further types by their full names."""


def register(cls: str, feeder: Feeder) -> None:
    """Have values of a class, named with its module so that it need not be imported, hashed by `feeder`."""
    _FEEDERS[cls] = feeder


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
