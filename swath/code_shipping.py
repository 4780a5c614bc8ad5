"""The project's own Python code: what of it can be imported here, and how it is imported where its folder is not.

Files of a project are not installed on workers. Their source goes there once, and each worker's import system serves them
under the same names; calls then travel by name. (Sending functions by value instead, with every call, breaks on what
ordinary code has: a lock or a cache at the top of a module, modules that import each other, imports inside functions.)
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

T = TypeVar("T")

FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
"""Folders in a project whose code is somebody else's."""


@dataclass(frozen=True)
class ModuleSource:
    """One module as it travels."""

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
        """All that the pipelines that this process has loaded may import of their project, also inside of functions."""
        found: dict[str, ModuleSource] = {}
        for finder in _finders(ProjectFinder):
            _gather(finder, found)
        return cls(found)


def project_code_id(name: str) -> str | None:
    """Whether a module, given by its full name, is a project's own, so that workers have it by that name.

    If it is, the answer tells this code from other code of the same names; None if not.
    """
    for finder in _finders(ProjectFinder):
        if finder.has(name):
            return finder.loading
    return "sent" if any(finder.has(name) for finder in _finders(ShippedFinder)) else None


class ProjectFinder(MetaPathFinder):
    """Imports, on the client, of what lies beside a project's pipelines and in its root; anything installed goes before it."""

    def __init__(self, folder: Path, root: Path, known_as: Path) -> None:
        self.folder = folder.resolve()
        self.root = root.resolve()
        self.package = f"project_pipelines_{hashlib.sha256(str(known_as.resolve()).encode()).hexdigest()[:8]}"
        """Name of the package that the folder's files are in, so that they do not mix with another project's."""
        self.loading = secrets.token_hex(8)
        """Tells this reading of the files from others: what names a project's code in a pickle says with it which code is meant."""
        self._found: set[str] = set()

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
        if found is None or not self._holds(found):
            return None
        self._found.add(name)
        return found

    def has(self, name: str) -> bool:
        """Whether the loaded module of that name is of this project."""
        if name.partition(".")[0] == self.package:
            return True
        spec = getattr(sys.modules.get(name), "__spec__", None)
        return spec is not None and self._holds(spec)

    def _holds(self, spec: ModuleSpec) -> bool:
        return any(_within(place, self.root) or _within(place, self.folder) for place in _places(spec))

    def remove(self) -> None:
        """Drop what was imported, so that the next import reads the files again."""
        tops = {self.package, *self._found}
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.meta_path.remove(self)


class ShippedFinder(MetaPathFinder, InspectLoader):
    """Imports, on a worker, of the code that clients sent. It goes before what is installed there."""

    def __init__(self) -> None:
        self._codes: dict[str, ProjectCode] = {}

    @classmethod
    def here(cls) -> ShippedFinder:
        """The one of this process."""
        found = next(_finders(cls), None)
        if found is None:
            found = cls()
            sys.meta_path.insert(0, found)
        return found

    def serve(self, owner: str, code: ProjectCode) -> None:
        """Let `owner`'s calls import `code`. Raises ValueError when other code of the same name is in use here."""
        self.withdraw(owner)
        for name, source in code.modules.items():
            for other, theirs in self._codes.items():
                if theirs.modules.get(name, source).text != source.text:
                    raise ValueError(f"another run ({other}) uses other code of the name {name} on this worker")
            module = sys.modules.get(name)
            if module is not None and getattr(module, "__loader__", None) is not self and not _same(module, source):
                raise ValueError(f"a module {name} is already imported on this worker, from {_file(module)}")
        self._codes[owner] = code

    def withdraw(self, owner: str) -> None:
        """Forget `owner`'s code, and what was imported from it unless somebody else uses it."""
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
    """Make a folder of pipelines and its project importable; returns the name of the package that the files are in.

    known_as: the folder that gives the package its name, when this one stands in for it.
    """
    finder = ProjectFinder(folder, root, known_as or folder)
    for earlier in list(_finders(ProjectFinder)):
        if earlier.package == finder.package:
            earlier.remove()
    sys.meta_path.append(finder)
    return finder.package


def remove_projects() -> None:
    """Drop the projects that this process has loaded."""
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


def _gather(project: ProjectFinder, found: dict[str, ModuleSource]) -> None:
    """Put the folder's files into `found`, and what they import of the project, and what that imports."""
    new = _files_of(project.package, project.folder)
    while new:
        found.update(new)
        tops = {top for name, source in new.items() for top in _imports(name, source)}
        new = {}
        for top in sorted(tops - found.keys()):
            spec = _spec_of(top)
            if spec is None or not project._holds(spec):
                continue
            if spec.submodule_search_locations:
                for place in spec.submodule_search_locations:
                    new.update(_files_of(top, Path(place)))
            elif spec.origin and spec.origin.endswith(".py"):
                new[top] = ModuleSource(spec.origin, Path(spec.origin).read_bytes())


def _spec_of(top: str) -> ModuleSpec | None:
    """Where a module of one name comes from. Executes nothing."""
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
    """First parts of the absolute names that a module imports, anywhere in it. What is no Python imports nothing."""
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
    """Whether a file is the project's own: under its folder, and neither installed nor Python's nor swath's."""
    path = Path(place).resolve()
    if not path.is_relative_to(folder) or FOREIGN_FOLDERS & set(path.relative_to(folder).parts):
        return False
    return not any(path.is_relative_to(other) for other in _others())


@functools.cache
def _others() -> tuple[Path, ...]:
    installed = (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return (*(Path(path).resolve() for path in installed), Path(__file__).resolve().parent)


def _same(module: ModuleType, source: ModuleSource) -> bool:
    file = getattr(module, "__file__", None)
    try:
        return file is not None and Path(file).read_bytes() == source.text
    except OSError:
        return False


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "no file"
