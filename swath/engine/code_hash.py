"""The code of a task as a fingerprint: what has to change for its finished calls to be made again.

A function's code is its bytecode, the values of its closure and defaults, and the project's own functions, classes and
constants that it names, through modules too. What it imports only when it runs enters as a whole, from its files: whether
it happens to be imported already must not matter. A comment, a docstring or a line number is no change. For code that swath
ships, its version stands for everything beneath; of installed packages nothing enters: their versions are in the report.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from swath.engine.value_hash import DIGITS, Hash, feed, register
from swath.graph.task import Task
from swath.version import __version__

_CONSTANTS = (bool, int, float, str, bytes, tuple, frozenset)


def code_fingerprint(fn: Any) -> str:
    """Hex digest of a function's code."""
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
        _feed_used(state, name, fn.__globals__.get(name), names, fn, seen)
    for module in _imported(fn.__code__, fn.__globals__.get("__package__") or ""):
        _feed_file(state, module, seen)


def _bare(fn: Any) -> Any:
    """The function under wrappers such as those of `functools.cache`."""
    while hasattr(fn, "__wrapped__") and not isinstance(fn, FunctionType):
        fn = fn.__wrapped__
    return fn


def _feed_used(state: Hash, name: str, used: Any, names: set[str], fn: FunctionType, seen: set[Any]) -> None:
    """Something that a function names: a part of the project, a module of it, or a constant."""
    if isinstance(used, ModuleType):
        here = (used.__name__, id(fn))  # modules that hold one another
        if used.__name__ not in (fn.__module__, "__main__") and here not in seen and _own(used.__name__):
            seen.add(here)
            for attribute in sorted(names):
                _feed_used(state, f"{name}.{attribute}", vars(used).get(attribute), names, fn, seen)
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


def _feed_class(state: Hash, cls: type, seen: set[Any]) -> None:
    feed(state, cls.__qualname__)
    for base in cls.__bases__:
        if id(base) not in seen and (base.__module__ == cls.__module__ or _own(base.__module__)):
            seen.add(id(base))
            _feed_class(state, base, seen)
    for name, part in sorted(vars(cls).items()):
        part = getattr(part, "__func__", part.fget if isinstance(part, property) else part)
        if isinstance(part, FunctionType) and part.__module__ == cls.__module__:
            _feed_code(state, part, seen)
        elif isinstance(part, _CONSTANTS) and not name.startswith("__"):
            _feed_values(state, [name, part], None, seen)


def _feed_file(state: Hash, module: str, seen: set[Any]) -> None:
    """A module of the project that is imported when a function runs, and what it imports, as they are in their files."""
    spec = _spec_of(module)
    if spec is None or module in seen or not _own_file(spec.origin):
        return
    seen.add(module)
    text = Path(str(spec.origin)).read_bytes()
    feed(state, module)
    try:
        code = compile(text, module, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        feed(state, text)
        return
    _feed_bytecode(state, code)
    for other in _imported(code, module if spec.submodule_search_locations else module.rpartition(".")[0]):
        _feed_file(state, other, seen)


def _imported(code: CodeType, package: str) -> Iterator[str]:
    """Full names of what a piece of code imports: modules, the packages that they are in, and what may be a module in them."""
    steps = list(dis.get_instructions(code))
    for number, step in enumerate(steps):
        if step.opname != "IMPORT_NAME":
            continue
        level, parts = steps[number - 2].argval, steps[number - 1].argval or ()
        try:
            name = importlib.util.resolve_name("." * level + step.argval, package)
        except ImportError:
            continue
        pieces = name.split(".")
        yield from (".".join(pieces[:end]) for end in range(1, len(pieces) + 1))
        yield from (f"{name}.{part}" for part in parts)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _imported(const, package)


def _spec_of(module: str) -> ModuleSpec | None:
    """Where a module is, without importing it or the package that it is in."""
    package, _, _ = module.rpartition(".")
    if not package:
        try:
            return importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
    above = _spec_of(package)
    places = above.submodule_search_locations if above is not None else None
    return PathFinder.find_spec(module, list(places)) if places else None


def _feed_values(state: Hash, values: list[Any], owner: Any, seen: set[Any]) -> None:
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
    return not _shipped(module) and _own_file(getattr(sys.modules.get(module), "__file__", None))


@functools.cache
def _own_file(file: str | None) -> bool:
    if (
        file is None
        or not file.endswith(".py")
        or Path(file).resolve().is_relative_to(Path(__file__).resolve().parents[1])
    ):
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
