"""Hashing of code: a task's calls are executed again when the fingerprint of its code differs.

It covers a function's bytecode, the values of its closure and defaults, and the project's own functions, classes and constants
that it names, through modules too. Modules that it imports inside of functions are hashed as a whole, from their files, whether
they are imported already or not. Comments, docstrings and line numbers are not part of it. Of swath's own functions the bytecode
and the version of swath are; of installed packages nothing is: their versions are in the report.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from swath.engine.value_hash import DIGITS, Hash, feed, register
from swath.graph.task import Task
from swath.module_code import imported_modules, is_project_file, source_digests
from swath.version import __version__

_CONSTANTS = (bool, int, float, str, bytes, tuple, frozenset)


def code_fingerprint(fn: Any) -> str:
    """Hex digest of a function's code, DIGITS long."""
    state = hashlib.sha256()
    _feed_code(state, fn, set())
    return state.hexdigest()[:DIGITS]


def register_code() -> None:
    """Have functions, tasks and pipelines among values hashed by their code."""
    register("builtins.function", lambda state, value: feed(state, ("function", code_fingerprint(value))))
    register(
        "swath.graph.task.Task",
        lambda state, value: feed(state, ("task", code_fingerprint(value.fn), value.policy.version)),
    )
    register(
        "swath.graph.pipeline.Pipeline", lambda state, value: feed(state, ("pipeline", code_fingerprint(value.fn)))
    )


def _feed_code(state: Hash, fn: Any, seen: set[Any]) -> None:
    fn = _unwrapped(fn)
    if not isinstance(fn, FunctionType):
        feed(state, f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}")
        return
    if id(fn) in seen:
        return
    seen.add(id(fn))
    feed(state, fn.__qualname__)
    if _is_swath(fn.__module__):
        feed(state, __version__)
    _feed_bytecode(state, fn.__code__)
    _feed_values(state, [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()], fn, seen)
    _feed_values(state, [c.cell_contents for c in fn.__closure__ or () if _has_value(c)], fn, seen)
    names = _names(fn.__code__)
    for name in sorted(names):
        _feed_used(state, name, fn.__globals__.get(name), names, fn, seen)
    for module in imported_modules(fn.__code__, fn.__globals__.get("__package__") or ""):
        _feed_file(state, module, seen)


def _unwrapped(fn: Any) -> Any:
    """The function inside of wrappers such as those of `functools.cache`."""
    while hasattr(fn, "__wrapped__") and not isinstance(fn, FunctionType):
        fn = fn.__wrapped__
    return fn


def _feed_used(state: Hash, name: str, used: Any, names: set[str], fn: FunctionType, seen: set[Any]) -> None:
    """Hash a global that a function names, if it belongs to the project or is a constant."""
    if isinstance(used, ModuleType):
        here = (used.__name__, id(fn))  # modules may import each other
        if used.__name__ not in (fn.__module__, "__main__") and here not in seen and _in_project(used.__name__):
            seen.add(here)
            for attribute in sorted(names):
                _feed_used(state, f"{name}.{attribute}", vars(used).get(attribute), names, fn, seen)
    elif isinstance(used, functools.partial):
        _feed_used(state, name, used.func, names, fn, seen)
        _feed_values(state, [*used.args, *used.keywords.items()], fn, seen)
    elif isinstance(used, type):
        if id(used) not in seen and not _is_swath(used.__module__) and _belongs_to(fn, used.__module__):
            seen.add(id(used))
            _feed_class(state, used, seen)
    elif isinstance(used, _CONSTANTS):
        _feed_values(state, [name, used], fn, seen)
    else:
        function = _unwrapped(used.fn if isinstance(used, Task) else used)
        if isinstance(function, FunctionType) and _belongs_to(fn, function.__module__ or ""):
            _feed_code(state, function, seen)


def _feed_class(state: Hash, cls: type, seen: set[Any]) -> None:
    feed(state, cls.__qualname__)
    for base in cls.__bases__:
        if id(base) not in seen and (base.__module__ == cls.__module__ or _in_project(base.__module__)):
            seen.add(id(base))
            _feed_class(state, base, seen)
    for name, part in sorted(vars(cls).items()):
        part = getattr(part, "__func__", part.fget if isinstance(part, property) else part)
        if isinstance(part, FunctionType) and part.__module__ == cls.__module__:
            _feed_code(state, part, seen)
        elif isinstance(part, _CONSTANTS) and not name.startswith("__"):
            _feed_values(state, [name, part], None, seen)


def _feed_file(state: Hash, module: str, seen: set[Any]) -> None:
    """Hash the file of a module of the project, and those of the modules that it imports."""
    for named in source_digests(module, seen):
        feed(state, named)


def _feed_values(state: Hash, values: list[Any], owner: Any, seen: set[Any]) -> None:
    for value in values:
        if isinstance(value, (FunctionType, Task)):
            _feed_code(state, value.fn if isinstance(value, Task) else value, seen)
        elif value is not owner:
            feed(state, value)


def _belongs_to(fn: FunctionType, module: str) -> bool:
    """Whether a module's code is hashed with `fn`: it is in the same package, or in the project."""
    home = (fn.__module__ or "").rpartition(".")[0] or fn.__module__
    return module == fn.__module__ or module.startswith(f"{home}.") or _in_project(module)


def _is_swath(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "swath"


@functools.cache
def _in_project(module: str) -> bool:
    """Whether a module is in a project: it has a file that is neither swath's nor installed."""
    return not _is_swath(module) and is_project_file(getattr(sys.modules.get(module), "__file__", None))


def _has_value(cell: CellType) -> bool:
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
        elif const is not code.co_consts[0] or not isinstance(const, str):  # not the docstring
            feed(state, const)


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= _names(const)
    return names
