"""Which pipelines there are: shipped with swath, from installed packages, and from the project's own folders.

Their names and summaries come from an index where there is one (see `swath.project.pipeline_index`); the module of a pipeline is
imported when the pipeline is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import PipelineError
from swath.project.entry_points import installed
from swath.project.pipeline_index import IndexedPipeline, PipelineIndex
from swath.project.pipeline_sources import InstalledPipelines, PipelineSource, ProjectPipelines, StockPipelines

if TYPE_CHECKING:
    from swath.graph.pipeline import Pipeline
    from swath.spec.base import Spec

ENTRY_POINTS = "swath.pipelines"
"""Entry point group in which installed packages name modules or pipelines."""


@dataclass(frozen=True)
class PipelineEntry:
    """One pipeline and where it was found."""

    name: str
    summary: str
    """The first line of its docstring."""
    origin: str
    """`swath`, the name of an installed package, or the path of a file of the project."""
    load: Callable[[], Pipeline] = field(repr=False, compare=False)
    """Imports its module. Raises what the module's code raises, and LookupError when the pipeline is not in it any more."""

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self.load()


class Registry:
    """All pipelines that a spec can name."""

    def __init__(self, sources: Iterable[PipelineSource] = (), index: PipelineIndex | None = None) -> None:
        """sources: a name of a later one goes before that of an earlier one. Raises PipelineError for names that are ambiguous."""
        self._sources = tuple(sources)
        self._index = index
        self.entries: dict[str, PipelineEntry] = {}
        """By name, sorted."""
        self.broken: dict[str, str] = {}
        """Files and packages that could not be loaded, with the reason."""
        self._collect()

    @classmethod
    def discover(
        cls, folders: Iterable[Path] = (), root: Path | None = None, known_as: Mapping[Path, Path] | None = None
    ) -> Registry:
        """Look in all three places. The project's pipelines win over installed ones, and those over swath's own.

        root: what the project's modules may import from; the nearest folder with a swath.yaml when not given. known_as:
        for folders that stand in for others, such as those of a commit: the ones whose modules' names theirs get, so that
        results that one made can be read by the other.
        """
        packages = installed(ENTRY_POINTS)
        own = ProjectPipelines(folders, packages, root, known_as or {})
        return cls((StockPipelines(), InstalledPipelines(packages), own), PipelineIndex.of_user())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.entries)

    def find(self, name: str) -> Pipeline:
        """The pipeline of that name. Raises PipelineError with a guess and with what could not be loaded.

        The project's modules can then be imported, also by a pipeline that is not the project's own.
        """
        for source in self._sources:
            source.prepare()
        found = self._loaded(name)
        if found is None:
            self._collect(fresh=True)  # no index knows all that the names in a module depend on
            found = self._loaded(name)
        if found is not None:
            return found
        import difflib

        close = difflib.get_close_matches(name, self.entries, 1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        failed = "".join(f"\n  {place} could not be loaded: {reason}" for place, reason in self.broken.items())
        raise PipelineError(f"there is no pipeline {name!r}{guess}{failed}", remedy="`pipe list` shows the pipelines")

    def spec_class(self, name: str) -> type[Spec]:
        """The Spec class of the pipeline of that name."""
        return self.find(name).spec_class

    def _loaded(self, name: str) -> Pipeline | None:
        """The pipeline; None when there is none, or when its module is no longer what the index says."""
        try:
            return self.entries[name].pipeline if name in self.entries else None
        except Exception:  # noqa: BLE001 - of the module's code; what imports it again tells the reason
            return None

    def _collect(self, *, fresh: bool = False) -> None:
        """Ask all sources. fresh: they import every module, whatever indexes say."""
        entries: dict[str, PipelineEntry] = {}
        broken: dict[str, str] = {}
        for source in self._sources:
            scan = source.scan(self._index, fresh=fresh)
            broken |= source.broken
            broken |= {source.origins[module]: reason for module, reason in scan.broken.items()}
            for each in scan.pipelines:
                load = partial(_load, source, each)
                entries[each.name] = PipelineEntry(each.name, each.summary, source.origins[each.module], load)
        self.entries, self.broken = dict(sorted(entries.items())), broken


def _load(source: PipelineSource, wanted: IndexedPipeline) -> Pipeline:
    """The last pipeline of its name in a module. Raises LookupError when there is none."""
    found = [each for each in source.load(wanted.module) if each.name == wanted.name]
    if not found:
        raise LookupError(f"there is no pipeline {wanted.name!r} in {source.origins[wanted.module]}")
    return found[-1]
