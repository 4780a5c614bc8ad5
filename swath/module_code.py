"""Digests of modules by their source: of a module that a spec names, and of the modules of the project that it imports.

Files are read, nothing is imported: a network's module may need seconds and torch. Comments, docstrings and line numbers do not count.
What a module opens or imports by a computed name is not seen.
"""

from __future__ import annotations

import dis
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from swath.code_shipping import FOREIGN_FOLDERS

_MARK = "__swath_code__"
"""Attribute of a module that import_as imported: the digest that it had."""


class CodeChanged(Exception):
    """The source of a module is another than when its digest was taken."""


def module_digest(module: str) -> str:
    """Hex digest of a module's source and of the modules of the project that it imports, also through others. Empty when there is no
    such module or when it has no Python source. Of an installed module only its own file counts."""
    found = [*source_digests(module, set())]
    if not found and (spec := spec_of(module)) is not None and (digest := _source_digest(spec)) is not None:
        found = [(module, digest)]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:32] if found else ""


def import_as(module: str, digest: str) -> ModuleType:
    """Import a module whose digest was taken before; import it again when this process has imported other code of that name.

    Raises ImportError, what the module raises, and CodeChanged when its source is another by now.
    """
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, _MARK, digest) != digest:
        for name in [name for name, _ in source_digests(module, set())]:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
    found = importlib.import_module(module)
    if digest and module_digest(module) != digest:
        raise CodeChanged(f"the code of {module}, or of a module that it imports, changed since the run began")
    setattr(found, _MARK, digest)
    return found


def source_digests(module: str, seen: set[Any]) -> Iterator[tuple[str, str]]:
    """(name, digest) of a module of the project and of those that it imports, each once; nothing of modules in `seen`, which grows."""
    spec = spec_of(module)
    if spec is None or module in seen or not is_project_file(spec.origin):
        return
    seen.add(module)
    source = _source(spec)
    if source is None:
        return
    try:
        code = compile(source, module, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        yield module, hashlib.sha256(source.encode(errors="surrogatepass")).hexdigest()
        return
    yield module, code_digest(code)
    package, _, _ = module.rpartition(".")
    if package:
        yield from source_digests(package, seen)
    for other in imported_modules(code, module if spec.submodule_search_locations else package):
        yield from source_digests(other, seen)


def code_digest(code: CodeType) -> str:
    """Hex digest of bytecode with its names and constants."""
    consts = [
        _constant(const)
        for const in code.co_consts
        if const is not code.co_consts[0] or not isinstance(const, str)  # not the docstring
    ]
    parts = (code.co_code, code.co_names, code.co_varnames, code.co_argcount, code.co_kwonlyargcount, consts)
    return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return code_digest(value)
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_constant, value))})"
    if isinstance(value, tuple):
        return f"tuple({[_constant(each) for each in value]})"
    return f"{type(value).__name__}:{value!r}"


def imported_modules(code: CodeType, package: str) -> Iterator[str]:
    """Full names of the modules that code imports, of their packages, and of imported names that may be modules."""
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
            yield from imported_modules(const, package)


def spec_of(module: str) -> ModuleSpec | None:
    """The import spec of a module, without importing it or its package."""
    package, _, _ = module.rpartition(".")
    if not package:
        try:
            return importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
    if module in sys.modules:
        return getattr(sys.modules[module], "__spec__", None)
    above = spec_of(package)
    places = above.submodule_search_locations if above is not None else None
    if not places:
        return None
    try:
        return PathFinder.find_spec(module, list(places)) or _found(module, list(places))
    except (
        KeyError
    ):  # a folder without __init__.py in a package that is not imported: PathFinder wants the package itself
        folders = [Path(place) / module.rpartition(".")[2] for place in places]
        spec = ModuleSpec(module, None, is_package=True)
        spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
        return spec


def _found(module: str, places: list[str]) -> ModuleSpec | None:
    """The spec of a module in a package that another import hook has, such as that of a worker."""
    for finder in sys.meta_path:
        if finder is not PathFinder and (found := getattr(finder, "find_spec", lambda *_: None)(module, places)):
            return found  # type: ignore[no-any-return]
    return None


@cache
def is_project_file(file: str | None) -> bool:
    """Whether a module's file is a project's: Python source that is neither swath's nor installed."""
    if file is None or not file.endswith(".py") or Path(file).resolve().is_relative_to(Path(__file__).resolve().parent):
        return False
    if FOREIGN_FOLDERS & set(Path(file).resolve().parts):  # of the system or the user, beside this environment's own
        return False
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in installed if folder)


def _source_digest(spec: ModuleSpec) -> str | None:
    source = _source(spec)
    return None if source is None else hashlib.sha256(source.encode(errors="surrogatepass")).hexdigest()


def _source(spec: ModuleSpec) -> str | None:
    """The source as its file, or what the client sent, has it now; None without any."""
    get = getattr(spec.loader, "get_source", None)
    try:
        return None if get is None else get(spec.name)
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return None
