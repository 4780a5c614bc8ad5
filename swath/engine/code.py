"""The code of a task as a fingerprint: what has to change for its finished calls to be made again.

A function's code is its bytecode, the values of its closure and defaults, and the project's own functions, classes and
constants that it names, through modules too. A comment, a docstring or a line number is no change. For code that swath
ships, its version stands for everything beneath; of installed packages nothing enters: their versions are in the report.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import sysconfig
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from swath.engine.fingerprint import DIGITS, Hash, feed
from swath.graph.task import Task
from swath.version import __version__

_CONSTANTS = (bool, int, float, str, bytes, tuple, frozenset)


def code_fingerprint(fn: Any) -> str:
    """Hex digest of a function's code."""
    state = hashlib.sha256()
    _feed_code(state, fn, set())
    return state.hexdigest()[:DIGITS]


def _feed_code(state: Hash, fn: Any, seen: set[int]) -> None:
    fn = _bare(fn)
    if not isinstance(fn, FunctionType):
        feed(state, f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}")
        return
    if id(fn) in seen:
        return
    seen.add(id(fn))
    feed(state, fn.__qualname__)
    if _shipped(fn.__module__):
        feed(state, __version__)
    _feed_bytecode(state, fn.__code__)
    _feed_values(state, [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()], fn, seen)
    _feed_values(state, [c.cell_contents for c in fn.__closure__ or () if _filled(c)], fn, seen)
    names = _names(fn.__code__)
    for name in sorted(names):
        used = fn.__globals__.get(name, sys.modules.get(name))
        _feed_used(state, name, used, names, fn, seen)


def _bare(fn: Any) -> Any:
    """The function under wrappers such as those of `functools.cache`."""
    while hasattr(fn, "__wrapped__") and not isinstance(fn, FunctionType):
        fn = fn.__wrapped__
    return fn


def _feed_used(state: Hash, name: str, used: Any, names: set[str], fn: FunctionType, seen: set[int]) -> None:
    """Something that a function names: a part of the project, a module of it, or a constant."""
    if isinstance(used, ModuleType):
        if used.__name__ not in (fn.__module__, "__main__") and _own(used.__name__):
            for attribute in sorted(names):
                found = vars(used).get(attribute)
                if not isinstance(found, ModuleType):
                    _feed_used(state, f"{name}.{attribute}", found, names, fn, seen)
    elif isinstance(used, functools.partial):
        _feed_used(state, name, used.func, names, fn, seen)
        _feed_values(state, [*used.args, *used.keywords.items()], fn, seen)
    elif isinstance(used, type):
        if id(used) not in seen and not _shipped(used.__module__) and _together(fn, used.__module__):
            seen.add(id(used))
            _feed_class(state, used, seen)
    elif isinstance(used, _CONSTANTS):
        _feed_values(state, [name, used], fn, seen)
    else:
        function = _bare(used.fn if isinstance(used, Task) else used)
        if isinstance(function, FunctionType) and _together(fn, function.__module__ or ""):
            _feed_code(state, function, seen)


def _feed_class(state: Hash, cls: type, seen: set[int]) -> None:
    feed(state, cls.__qualname__)
    for name, part in sorted(vars(cls).items()):
        part = getattr(part, "__func__", part.fget if isinstance(part, property) else part)
        if isinstance(part, FunctionType) and part.__module__ == cls.__module__:
            _feed_code(state, part, seen)
        elif isinstance(part, _CONSTANTS) and not name.startswith("__"):
            _feed_values(state, [name, part], None, seen)


def _feed_values(state: Hash, values: list[Any], owner: Any, seen: set[int]) -> None:
    for value in values:
        if isinstance(value, (FunctionType, Task)):
            _feed_code(state, value.fn if isinstance(value, Task) else value, seen)
        elif value is not owner:
            feed(state, value)


def _together(fn: FunctionType, module: str) -> bool:
    """Whether a module's code belongs to the code of `fn`: it is of the same package, or the project's own."""
    home = (fn.__module__ or "").rpartition(".")[0] or fn.__module__
    return module == fn.__module__ or module.startswith(f"{home}.") or _own(module)


def _shipped(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "swath"


@functools.cache
def _own(module: str) -> bool:
    """Whether a module is a user's own: it comes from a file, but neither from swath nor from where packages are installed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or _shipped(module):
        return False
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in installed if folder)


def _filled(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _feed_bytecode(state: Hash, code: CodeType) -> None:
    feed(state, (code.co_code, code.co_names, code.co_varnames, code.co_argcount, code.co_kwonlyargcount))
    for const in code.co_consts:
        if isinstance(const, CodeType):
            _feed_bytecode(state, const)
        elif const is not code.co_consts[0] or not isinstance(const, str):  # the docstring does not change what it does
            feed(state, const)


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= _names(const)
    return names
