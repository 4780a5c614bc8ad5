"""The sources of pipelines: swath itself, installed packages, and the folders of a project. Each lists and imports modules."""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from swath.errors import PipelineError, SwathError
from swath.project.entry_points import InstalledPackages
from swath.project.pipeline_index import IndexedPipeline, PipelineIndex, Scan
from swath.spec.project_root import FILE, project_root
from swath.version import __version__

if TYPE_CHECKING:
    from swath.graph.pipeline import Pipeline


class PipelineSource:
    """A set of modules that define pipelines."""

    identity = ""
    """Identity of the source and of its environment, for the index; empty for a source without an index."""
    origins: Mapping[str, str] = {}
    """Key of each module -> origin of its pipelines, as `pipe list` prints it."""
    broken: Mapping[str, str] = {}
    """Origins that cannot be listed, with the reason."""

    def prepare(self, *, again: bool = False) -> None:
        """Make the modules importable, instead of those of another project.

        again: forget the modules that were imported, so that their files are read again.
        """

    def load(self, module: str) -> tuple[Pipeline, ...]:
        """Import the module with a key and return its pipelines. Raises what its code raises."""
        raise NotImplementedError

    def ambiguous(self, pipelines: Sequence[IndexedPipeline]) -> dict[str, PipelineError]:
        """Names that two of the pipelines have -> the error of using them."""
        return {}

    def files(self, pipelines: Mapping[str, tuple[Pipeline, ...]]) -> set[str]:
        """The files that the imported modules consist of. pipelines: those of each module."""
        raise NotImplementedError

    def scan(self, index: PipelineIndex | None = None, *, fresh: bool = False) -> Scan:
        """The pipelines of all modules: from the index, else by importing them; then the index is written.

        fresh: do not read the index.
        """
        if not self.origins:
            return Scan((), {})
        index = index if self.identity else None
        if index is not None and not fresh:
            known = index.read(self.identity, self.origins)
            if known is not None and (scan := self._retried(known)) is not None:
                return scan
        began = time.time()
        self.prepare(again=True)
        loaded: dict[str, tuple[Pipeline, ...]] = {}
        broken: dict[str, str] = {}
        for module in self.origins:
            try:
                loaded[module] = self.load(module)
            except Exception as error:  # noqa: BLE001 - a module's error must not hide the other pipelines
                broken[module] = self.reason(error)
        pipelines = tuple(IndexedPipeline(key, p.name, p.summary) for key, found in loaded.items() for p in found)
        scan = Scan(pipelines, broken, tuple(sorted(self.files(loaded))))
        if index is not None:
            index.write(self.identity, self.origins, scan, began)
        return scan

    def reason(self, error: Exception) -> str:
        """The message for a module that cannot be imported."""
        return error.message if isinstance(error, SwathError) else f"{type(error).__name__}: {error}"

    def _retried(self, known: Scan) -> Scan | None:
        """The scan of an index, with new reasons for the modules that cannot be imported; None if one of them now can."""
        broken = {}
        for module in known.broken:
            try:
                self.load(module)
            except Exception as error:  # noqa: BLE001
                broken[module] = self.reason(error)
            else:
                return None
        return Scan(known.pipelines, broken, known.files)


class StockPipelines(PipelineSource):
    """The pipelines that are part of swath."""

    def __init__(self) -> None:
        package = importlib.import_module("swath.pipelines")
        self._files = {file.stem: file for folder in package.__path__ for file in _modules(Path(folder))}
        self.origins = dict.fromkeys(self._files, "swath")
        self.identity = f"stock {__version__} {sys.version} {sorted(map(str, package.__path__))}"

    def load(self, module: str) -> tuple[Pipeline, ...]:
        return tuple(_pipelines_in(importlib.import_module(f"swath.pipelines.{module}")))

    def files(self, pipelines: Mapping[str, tuple[Pipeline, ...]]) -> set[str]:
        return set(map(str, self._files.values()))

    def reason(self, error: Exception) -> str:
        raise error  # a bug of swath


class InstalledPipelines(PipelineSource):
    """The pipelines of installed packages, from entry points that name a pipeline or a module with pipelines."""

    def __init__(self, packages: InstalledPackages) -> None:
        self._points = {f"{point.package} {point.name} {point.value}": point for point in packages.points}
        self.origins = {key: point.package for key, point in self._points.items()}
        self.identity = f"installed {environment(packages)}" if self._points else ""

    def load(self, module: str) -> tuple[Pipeline, ...]:
        from swath.graph.pipeline import Pipeline

        point = self._points[module]
        found = importlib.import_module(point.module)
        value = functools.reduce(getattr, point.attribute.split("."), found) if point.attribute else found
        if isinstance(value, Pipeline):
            return (value,)
        if isinstance(value, ModuleType):
            return tuple(_pipelines_in(value))
        raise PipelineError(f"entry point {point.name} is neither a pipeline nor a module")

    def files(self, pipelines: Mapping[str, tuple[Pipeline, ...]]) -> set[str]:
        names = {self._points[key].module for key in pipelines}
        names |= {pipeline.fn.__module__ for found in pipelines.values() for pipeline in found}
        return {file for name in names if (file := getattr(sys.modules.get(name), "__file__", None))}


class ProjectPipelines(PipelineSource):
    """The pipelines in the folders of a project, in all files whose names do not begin with `_`."""

    def __init__(
        self,
        folders: Iterable[Path],
        packages: InstalledPackages,
        root: Path | None,
        known_as: Mapping[Path, Path],
        home: Path | None = None,
    ) -> None:
        """root: folder that the modules may import from; the nearest one with a swath.yaml when not given. known_as: see
        `swath.project.registry.Registry.discover`. Folders of a commit, which are temporary, get no index. home: the folder whose
        modules specs may name when the project has no pipelines."""
        self.broken = {}
        self.origins = {}
        self._places: dict[str, tuple[Path, str]] = {}
        self._roots: dict[Path, tuple[Path, Path]] = {}
        self._packages: dict[Path, str] = {}
        for folder in folders:
            if not folder.is_dir():
                self.broken[str(folder)] = "no such folder"
                continue
            self._roots[folder] = (root or _root_of(folder), known_as.get(folder, folder))
            for file in _modules(folder):
                self.origins[str(file)] = str(file)
                self._places[str(file)] = (folder, file.stem)
        if not self._roots and home is not None:
            self._roots[home / "pipelines"] = (home, home / "pipelines")
        if self.origins and not known_as:
            roots = [(str(folder.resolve()), str(own.resolve())) for folder, (own, _) in self._roots.items()]
            self.identity = f"project {roots} {environment(packages)}"

    def prepare(self, *, again: bool = False) -> None:
        from swath import code_shipping

        added = self._packages.keys() == self._roots.keys()
        if added and not again and code_shipping.project_packages() == tuple(self._packages.values()):
            return
        code_shipping.remove_projects()
        self._packages = {
            folder: code_shipping.add_project(folder, root, known_as)
            for folder, (root, known_as) in self._roots.items()
        }
        importlib.invalidate_caches()

    def load(self, module: str) -> tuple[Pipeline, ...]:
        self.prepare()
        folder, name = self._places[module]
        return tuple(_pipelines_in(importlib.import_module(f"{self._packages[folder]}.{name}")))

    def files(self, pipelines: Mapping[str, tuple[Pipeline, ...]]) -> set[str]:
        from swath import code_shipping

        return {*self.origins, *code_shipping.loaded_files()}

    def ambiguous(self, pipelines: Sequence[IndexedPipeline]) -> dict[str, PipelineError]:
        found: dict[str, PipelineError] = {}
        seen: dict[tuple[Path, str], str] = {}
        for each in pipelines:
            key = (self._places[each.module][0], each.name)
            if key in seen:
                found[each.name] = PipelineError(
                    f"two pipelines are called {each.name!r}: {seen[key]} and {each.module}",
                    remedy="rename one, or give it a name: @pipeline(name=...)",
                )
            seen[key] = each.module
        return found


def environment(packages: InstalledPackages) -> str:
    """Digest of what modules depend on beside their files: versions of Python and swath, `sys.path`, installed packages.

    Without the first entry of `sys.path`, which differs between `pipe` and `python -m swath.cli`.
    """
    parts = [sys.version, __version__, *sys.path[1:], "", *packages.folders]
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()


def _root_of(folder: Path) -> Path:
    """The root of the folder's project; its parent if there is no swath.yaml."""
    root = project_root(folder)
    return root if (root / FILE).is_file() else folder.parent


def _modules(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))


def _pipelines_in(module: ModuleType) -> Iterator[Pipeline]:
    """The pipelines that a module defines itself, without imported ones."""
    from swath.graph.pipeline import Pipeline

    for value in vars(module).values():
        if isinstance(value, Pipeline) and value.fn.__module__ == module.__name__:
            yield value
