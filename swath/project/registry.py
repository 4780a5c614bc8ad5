"""Which pipelines there are: shipped with swath, from installed packages, and from the project's own folders."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from swath import code_shipping
from swath.errors import PipelineError, SwathError
from swath.graph.pipeline import Pipeline
from swath.project.entry_points import group_exists
from swath.spec.base import Spec
from swath.spec.project_file import FILE, ProjectFolder

ENTRY_POINTS = "swath.pipelines"
"""Entry point group in which installed packages name modules or pipelines."""


@dataclass(frozen=True)
class PipelineEntry:
    """One pipeline and where it was found."""

    name: str
    pipeline: Pipeline
    origin: str
    """`swath`, the name of an installed package, or the path of a file of the project."""


@dataclass(frozen=True)
class Registry:
    """All pipelines that a spec can name."""

    entries: dict[str, PipelineEntry] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Files and packages that could not be loaded, with the reason."""

    @classmethod
    def discover(
        cls, folders: Iterable[Path] = (), root: Path | None = None, known_as: Mapping[Path, Path] | None = None
    ) -> Registry:
        """Look in all three places. The project's pipelines win over installed ones, and those over swath's own.

        root: what the project's modules may import from; the nearest folder with a swath.yaml when not given. known_as:
        for folders that stand in for others, such as those of a commit: the ones whose modules' names theirs get, so that
        results that one made can be read by the other.
        """
        entries: dict[str, PipelineEntry] = {}
        broken: dict[str, str] = {}
        code_shipping.remove_projects()
        for found in _stock():
            entries[found.name] = found
        for found in _installed(broken):
            entries[found.name] = found
        for folder in folders:
            names: dict[str, PipelineEntry] = {}
            for found in _project(folder, root, (known_as or {}).get(folder, folder), broken):
                if found.name in names:
                    raise PipelineError(
                        f"two pipelines are called {found.name!r}: {names[found.name].origin} and {found.origin}",
                        remedy="rename one, or give it a name: @pipeline(name=...)",
                    )
                names[found.name] = found
            entries.update(names)
        return cls(dict(sorted(entries.items())), broken)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.entries)

    def find(self, name: str) -> Pipeline:
        """The pipeline of that name. Raises PipelineError with a guess and with what could not be loaded."""
        if name in self.entries:
            return self.entries[name].pipeline
        close = difflib.get_close_matches(name, self.entries, 1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        failed = "".join(f"\n  {place} could not be loaded: {reason}" for place, reason in self.broken.items())
        raise PipelineError(f"there is no pipeline {name!r}{guess}{failed}", remedy="`pipe list` shows the pipelines")

    def spec_class(self, name: str) -> type[Spec]:
        """The Spec class of the pipeline of that name."""
        return self.find(name).spec_class


def _pipelines_in(module: ModuleType, origin: str) -> Iterator[PipelineEntry]:
    for value in vars(module).values():
        if isinstance(value, Pipeline) and value.fn.__module__ == module.__name__:
            yield PipelineEntry(value.name, value, origin)


def _stock() -> Iterator[PipelineEntry]:
    package = importlib.import_module("swath.pipelines")
    for folder in package.__path__:
        for file in sorted(Path(folder).glob("[a-z]*.py")):
            yield from _pipelines_in(importlib.import_module(f"swath.pipelines.{file.stem}"), "swath")


def _installed(broken: dict[str, str]) -> Iterator[PipelineEntry]:
    if not group_exists(ENTRY_POINTS):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        origin = point.dist.name if point.dist else point.value
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 - somebody else's code: it must not take the other pipelines down
            broken[origin] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(loaded, Pipeline):
            yield PipelineEntry(loaded.name, loaded, origin)
        elif isinstance(loaded, ModuleType):
            yield from _pipelines_in(loaded, origin)
        else:
            broken[origin] = f"entry point {point.name} is neither a pipeline nor a module"


def _project(folder: Path, root: Path | None, known_as: Path, broken: dict[str, str]) -> Iterator[PipelineEntry]:
    if not folder.is_dir():
        broken[str(folder)] = "no such folder"
        return
    if root is None:
        root = ProjectFolder.root_of(folder)
        root = root if (root / FILE).is_file() else folder.parent
    package = code_shipping.add_project(folder, root, known_as)
    importlib.invalidate_caches()
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        try:
            module = importlib.import_module(f"{package}.{file.stem}")
        except SwathError as error:
            broken[str(file)] = error.message
            continue
        except Exception as error:  # noqa: BLE001 - the user's code: report it beside the pipelines that do load
            broken[str(file)] = f"{type(error).__name__}: {error}"
            continue
        yield from _pipelines_in(module, str(file))
