"""Fingerprints: the same for equal values in any process, so that finished work is found again.

Values are hashed by what they are made of, not by their pickle: two equal values can pickle to different bytes.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import types
from collections.abc import Mapping, Set
from pathlib import PurePath
from typing import Any, Protocol

from swath.graph.pipeline import Pipeline
from swath.graph.task import Task
from swath.version import __version__


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...


def fingerprint(value: Any) -> str:
    """Hex digest of a value. Values that cannot be taken apart are hashed by their pickle."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: _Hash, value: Any) -> None:
    if value is None or (isinstance(value, (bool, int, float, complex, str)) and not isinstance(value, enum.Enum)):
        text = repr(value).encode("utf-8", "surrogatepass")
        state.update(f"{type(value).__name__}:{len(text)}:".encode() + text)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        state.update(f"bytes:{len(value)}:".encode())
        state.update(bytes(value))
    elif type(value) in (list, tuple):
        state.update(f"{type(value).__name__}:{len(value)}:".encode())
        for part in value:
            _feed(state, part)
    elif isinstance(value, Mapping):
        state.update(f"mapping:{len(value)}:".encode())
        for key, part in sorted((fingerprint(k), v) for k, v in value.items()):
            state.update(key.encode())
            _feed(state, part)
    elif isinstance(value, Set):
        state.update(f"set:{len(value)}:".encode())
        for key in sorted(fingerprint(part) for part in value):
            state.update(key.encode())
    elif isinstance(value, enum.Enum):
        state.update(f"enum:{_named(type(value))}.{value.name}".encode())
    elif isinstance(value, (PurePath, datetime.date, datetime.time, datetime.timedelta)):
        _feed(state, (_named(type(value)), str(value)))
    elif isinstance(value, Task):
        _feed(state, ("task", code_fingerprint(value.fn), value.policy.version))
    elif isinstance(value, Pipeline):
        _feed(state, ("pipeline", code_fingerprint(value.fn)))
    elif isinstance(value, types.FunctionType):
        _feed(state, ("function", code_fingerprint(value)))
    elif isinstance(value, type):
        _feed(state, ("class", _named(value)))
    elif hasattr(value, "__dask_tokenize__"):  # GeoBox and many other scientific types name their parts so
        _feed(state, (_named(type(value)), value.__dask_tokenize__()))
    elif dataclasses.is_dataclass(value):
        state.update(f"dataclass:{_named(type(value))}:".encode())
        for field in dataclasses.fields(value):
            _feed(state, (field.name, getattr(value, field.name)))
    elif hasattr(type(value), "model_fields"):
        state.update(f"model:{_named(type(value))}:".encode())
        for name in type(value).model_fields:
            _feed(state, (name, getattr(value, name)))
    elif hasattr(value, "__array_interface__") and hasattr(value, "tobytes") and not value.dtype.hasobject:
        _feed(state, ("array", str(value.dtype), value.shape))
        state.update(value.tobytes())
    else:
        import cloudpickle

        _feed(state, ("pickle", _named(type(value)), cloudpickle.dumps(value)))


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def code_fingerprint(fn: Any) -> str:
    """Hex digest of a function's code: its own, its closure's and defaults' values, and that of the functions of the same
    project that it names. For code that swath ships the version of swath stands for everything beneath."""
    state = hashlib.sha256()
    _feed_code(state, fn, set())
    return state.hexdigest()


def _feed_code(state: _Hash, fn: Any, seen: set[int]) -> None:
    while hasattr(fn, "__wrapped__") and not isinstance(fn, types.FunctionType):
        fn = fn.__wrapped__
    if not isinstance(fn, types.FunctionType):
        _feed(state, f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}")
        return
    if id(fn) in seen:
        return
    seen.add(id(fn))
    _feed(state, fn.__qualname__)
    if fn.__module__.partition(".")[0] == "swath":
        _feed(state, __version__)
    _feed_bytecode(state, fn.__code__)
    _feed_values(state, [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()], fn, seen)
    _feed_values(state, [c.cell_contents for c in fn.__closure__ or () if _filled(c)], fn, seen)
    home = fn.__module__.rpartition(".")[0] or fn.__module__
    for name in sorted(_names(fn.__code__)):
        used = fn.__globals__.get(name)
        module = getattr(used, "__module__", None) or ""
        if isinstance(used, (types.FunctionType, Task)) and (module == fn.__module__ or module.startswith(home + ".")):
            _feed_code(state, used.fn if isinstance(used, Task) else used, seen)
        elif isinstance(used, (bool, int, float, str, bytes, tuple, frozenset)):
            _feed_values(state, [name, used], fn, seen)


def _feed_values(state: _Hash, values: list[Any], owner: Any, seen: set[int]) -> None:
    for value in values:
        if isinstance(value, (types.FunctionType, Task)):
            _feed_code(state, value.fn if isinstance(value, Task) else value, seen)
        elif value is not owner:
            _feed(state, value)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _feed_bytecode(state: _Hash, code: types.CodeType) -> None:
    _feed(state, (code.co_code, code.co_names, code.co_varnames, code.co_argcount, code.co_kwonlyargcount))
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            _feed_bytecode(state, const)
        elif const is not code.co_consts[0] or not isinstance(const, str):  # the docstring does not change what it does
            _feed(state, const)


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _names(const)
    return names
