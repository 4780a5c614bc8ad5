"""Shipping of a project's Python code: import hooks of the client, which find it, and of workers, which have only its source.

The files of a project are not installed on workers. Their source is sent once, and each worker imports them under the same
names; calls then travel by name. (Pickling functions by value instead, with every call, breaks on what ordinary code has: a
lock or a cache at the top of a module, modules that import each other, imports inside functions.)
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import secrets
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

T = TypeVar("T")

FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
"""Folders in a project whose code is not its own."""


@dataclass(frozen=True)
class ModuleSource:
    """The source of one module."""

    file: str
    """Where it is on the client, for tracebacks and `__file__`."""
    text: bytes
    package: bool = False


@dataclass(frozen=True)
class ProjectCode:
    """Modules of a project by their full names."""

    modules: Mapping[str, ModuleSource] = field(default_factory=dict)

    @classmethod
    def loaded(cls) -> ProjectCode:
        """Every module that the loaded pipelines of this process may import from their project, also inside of functions."""
        found: dict[str, ModuleSource] = {}
        for finder in _finders(ProjectFinder):
            _collect_sources(finder, found)
        return cls(found)


def name_modules(modules: Iterable[str]) -> None:
    """Have modules of the projects sent to workers although no pipeline imports them, such as those that a spec names."""
    for finder in _finders(ProjectFinder):
        finder.named.update(module.partition(".")[0] for module in modules)


def project_code_id(name: str) -> str | None:
    """An id of the project that a module belongs to, which differs between versions of its code; None if it is in no project.

    `name` is the module's full name. Workers can import what has an id.
    """
    for finder in _finders(ProjectFinder):
        if finder.has(name):
            return finder.loading
    return "sent" if any(finder.has(name) for finder in _finders(ShippedFinder)) else None


class ProjectFinder(MetaPathFinder):
    """Import hook of the client for a project's pipelines and the modules in its root. Installed modules take precedence."""

    def __init__(self, folder: Path, root: Path, known_as: Path) -> None:
        self.folder = folder.resolve()
        self.root = root.resolve()
        self.package = f"project_pipelines_{hashlib.sha256(str(known_as.resolve()).encode()).hexdigest()[:8]}"
        """Name of the package of the folder's files, different from that of another project."""
        self.loading = secrets.token_hex(8)
        """Id of this loading of the files. It is in pickles that refer to the code by name, so that they differ when the code may."""
        self.named: set[str] = set()
        """Top-level modules of the project that are sent although no pipeline imports them."""
        self._found: set[str] = set()
        self.submodules = _SubmoduleFinder(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == self.package:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(self.folder)]
            return spec
        if path is not None:
            return None
        found = PathFinder.find_spec(name, [str(self.folder), str(self.root)])
        if found is None or not self._contains(found):
            return None
        self._found.add(name)
        return _from_source(found)

    def has(self, name: str) -> bool:
        """Whether the loaded module of that name belongs to this project."""
        if name.partition(".")[0] == self.package:
            return True
        spec = getattr(sys.modules.get(name), "__spec__", None)
        return spec is not None and self._contains(spec)

    def _contains(self, spec: ModuleSpec) -> bool:
        return any(_within(place, self.root) or _within(place, self.folder) for place in _places(spec))

    def remove(self) -> None:
        """Remove the hook and what was imported through it, so that the next import reads the files again."""
        tops = {self.package, *self._found}
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.meta_path[:] = [each for each in sys.meta_path if each not in (self, self.submodules)]

    def imported(self, name: str) -> bool:
        """Whether a top-level module is one that this hook has found."""
        return name == self.package or name in self._found


class _SubmoduleFinder(MetaPathFinder):
    """Import hook for modules in the packages of a project, before Python's own: they are compiled from their files, too."""

    def __init__(self, project: ProjectFinder) -> None:
        self._project = project

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not self._project.imported(name.partition(".")[0]):
            return None
        found = PathFinder.find_spec(name, path, target)
        return None if found is None else _from_source(found)


class ShippedFinder(MetaPathFinder, InspectLoader):
    """Import hook of a worker for code that clients have sent. It takes precedence over installed modules."""

    def __init__(self) -> None:
        self._codes: dict[str, ProjectCode] = {}

    @classmethod
    def here(cls) -> ShippedFinder:
        """The hook of this process."""
        found = next(_finders(cls), None)
        if found is None:
            found = cls()
            sys.meta_path.insert(0, found)
        return found

    def add(self, owner: str, code: ProjectCode) -> None:
        """Make the code of a run, `owner`, importable. Raises ValueError when other code of the same name is in use here."""
        self.remove(owner)
        for name, source in code.modules.items():
            for other, theirs in self._codes.items():
                if theirs.modules.get(name, source).text != source.text:
                    raise ValueError(f"another run ({other}) uses other code of the name {name} on this worker")
            module = sys.modules.get(name)
            if (
                module is not None
                and getattr(module, "__loader__", None) is not self
                and not _has_source(module, source)
            ):
                raise ValueError(f"a module {name} is already imported on this worker, from {_file(module)}")
        self._codes[owner] = code

    def remove(self, owner: str) -> None:
        """Remove the code of a run, and what was imported from it unless another run uses it."""
        gone = self._codes.pop(owner, ProjectCode())
        for name in gone.modules:
            if not self.has(name) and getattr(sys.modules.get(name), "__loader__", None) is self:
                del sys.modules[name]

    def has(self, name: str) -> bool:
        """Whether a client sent it."""
        return any(name in code.modules for code in self._codes.values())

    def _source(self, name: str) -> ModuleSource:
        for code in self._codes.values():
            if name in code.modules:
                return code.modules[name]
        raise ImportError(f"{name} was not sent here", name=name)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self.has(name):
            return None
        source = self._source(name)
        spec = ModuleSpec(name, self, origin=source.file, is_package=source.package)
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        return self._source(fullname).package

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._source(fullname).text)

    def get_code(self, fullname: str) -> CodeType:
        source = self._source(fullname)
        return self.source_to_code(source.text, source.file)


def add_project(folder: Path, root: Path, known_as: Path | None = None) -> str:
    """Make a folder of pipelines and its project importable; returns the name of the package of its files.

    known_as: the folder that gives the package its name, when this one stands in for it.
    """
    finder = ProjectFinder(folder, root, known_as or folder)
    for earlier in list(_finders(ProjectFinder)):
        if earlier.package == finder.package:
            earlier.remove()
    sys.meta_path.append(finder)
    sys.meta_path.insert(0, finder.submodules)
    return finder.package


def remove_projects() -> None:
    """Remove all projects that this process has loaded."""
    for finder in list(_finders(ProjectFinder)):
        finder.remove()


def project_packages() -> tuple[str, ...]:
    """Packages of the folders of pipelines that can be imported now, in the order in which they were added."""
    return tuple(finder.package for finder in _finders(ProjectFinder))


def loaded_files() -> set[str]:
    """Files of the projects' modules that this process has imported."""
    finders = list(_finders(ProjectFinder))
    names = [name for name in list(sys.modules) if any(finder.has(name) for finder in finders)]
    return {file for name in names if (file := getattr(sys.modules[name], "__file__", None))}


def _finders(kind: type[T]) -> Iterator[T]:
    return (finder for finder in sys.meta_path if isinstance(finder, kind))


def _collect_sources(project: ProjectFinder, found: dict[str, ModuleSource]) -> None:
    """Add the folder's files to `found`, and the modules of the project that they import, directly or through others."""
    new = _files_of(project.package, project.folder) if project.folder.is_dir() else {}
    tops = set(project.named)
    while new or tops:
        found.update(new)
        tops |= {top for name, source in new.items() for top in _imports(name, source)}
        new = {}
        for top in sorted(tops - found.keys()):
            spec = _spec_of(top)
            if spec is None or not project._contains(spec):
                continue
            if spec.submodule_search_locations:
                for place in spec.submodule_search_locations:
                    new.update(_files_of(top, Path(place)))
            elif spec.origin and spec.origin.endswith(".py"):
                new[top] = ModuleSource(spec.origin, Path(spec.origin).read_bytes())
        tops = set()


class _SourceLoader(SourceFileLoader):
    """Compiles a module's file at each import. Files of bytecode go by size and seconds: of a file that was changed twice in a
    second they may be those of before."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _from_source(spec: ModuleSpec) -> ModuleSpec:
    if type(spec.loader) is SourceFileLoader:
        spec.loader = _SourceLoader(spec.loader.name, spec.loader.path)
    return spec


def _spec_of(top: str) -> ModuleSpec | None:
    """The import spec of a top-level module. Executes nothing."""
    if top in sys.modules:
        return getattr(sys.modules[top], "__spec__", None)
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _files_of(package: str, folder: Path) -> dict[str, ModuleSource]:
    """Every Python file of a package, by module name. A folder without an __init__.py is a package all the same."""
    found = {package: ModuleSource(str(folder / "__init__.py"), b"", package=True)}
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name not in FOREIGN_FOLDERS)
        parts = (package, *Path(here).relative_to(folder).parts)
        for file in sorted(files):
            stem, extension = os.path.splitext(file)  # noqa: PTH122 - of a name, not of a path
            if extension != ".py" or not stem.isidentifier():
                continue
            path = Path(here) / file
            for depth in range(2, len(parts) + 1):
                upper = folder.joinpath(*parts[1:depth])
                found.setdefault(".".join(parts[:depth]), ModuleSource(str(upper / "__init__.py"), b"", package=True))
            is_package = stem == "__init__"
            name = ".".join(parts if is_package else (*parts, stem))
            found[name] = ModuleSource(str(path), path.read_bytes(), package=is_package)
    return found


def _imports(name: str, source: ModuleSource) -> Iterator[str]:
    """First parts of the absolute names that a module imports, anywhere in it; none of a file with a syntax error."""
    try:
        tree = ast.parse(source.text, name)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _places(spec: ModuleSpec) -> list[str]:
    if spec.origin and spec.origin.endswith(".py"):
        return [spec.origin]
    return [place for place in spec.submodule_search_locations or () if any(Path(place).glob("*.py"))]


def _within(place: str, folder: Path) -> bool:
    """Whether a file belongs to the project: below its folder, and neither installed nor of Python or swath."""
    path, base = _resolved(place), os.path.join(folder, "")  # noqa: PTH118 - strings: a run asks this of every imported module
    if not path.startswith(base) or FOREIGN_FOLDERS & set(Path(path[len(base) :]).parts):
        return False
    return not any(path == other or path.startswith(other + os.sep) for other in _foreign_paths())


@functools.lru_cache(maxsize=1 << 14)
def _resolved(place: str) -> str:
    return os.path.realpath(place)


@functools.cache
def _foreign_paths() -> tuple[str, ...]:
    installed = (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return (*(os.path.realpath(path) for path in installed), os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120


def _has_source(module: ModuleType, source: ModuleSource) -> bool:
    file = getattr(module, "__file__", None)
    try:
        return file is not None and Path(file).read_bytes() == source.text
    except OSError:
        return False


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "no file"
