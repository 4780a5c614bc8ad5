"""The registry of pipelines: those of swath, of installed packages, and of the project's own folders.

Names and summaries are read from an index if possible (see `swath.project.pipeline_index`). The module of a pipeline is imported
when the pipeline is used.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import PipelineError
from swath.project.entry_points import installed
from swath.project.pipeline_index import IndexedPipeline, PipelineIndex
from swath.project.pipeline_sources import InstalledPipelines, PipelineSource, ProjectPipelines, StockPipelines
from swath.project.untrusted_pipelines import UntrustedPipelines

if TYPE_CHECKING:
    from swath.graph.pipeline import Pipeline
    from swath.project.project import Project
    from swath.spec.base import Spec

ENTRY_POINTS = "swath.pipelines"
"""Entry point group in which installed packages name modules or pipelines."""


@dataclass(frozen=True)
class PipelineEntry:
    """A pipeline, and its origin."""

    name: str
    summary: str
    """The first line of its docstring."""
    origin: str
    """`swath`, the name of an installed package, or the path of a file of the project."""
    load: Callable[[], Pipeline] = field(repr=False, compare=False)
    """Imports its module. Raises what the module's code raises, and LookupError if the module no longer has the pipeline."""

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self.load()


class Registry:
    """All pipelines that a spec can name."""

    def __init__(
        self,
        sources: Iterable[PipelineSource] = (),
        index: PipelineIndex | None = None,
        untrusted: UntrustedPipelines | None = None,
    ) -> None:
        """sources: later ones override the names of earlier ones. untrusted: pipelines that are not loaded."""
        self._sources = tuple(sources)
        self._untrusted = untrusted
        self._index = index
        self.entries: dict[str, PipelineEntry] = {}
        """By name, sorted."""
        self.broken: dict[str, str] = {}
        """Files and packages that could not be imported, with the reason."""
        self.ambiguous: dict[str, PipelineError] = {}
        """Names that two pipelines of one folder have. None of these is among the entries."""
        self._collect()

    @classmethod
    def discover(
        cls,
        folders: Iterable[Path] = (),
        root: Path | None = None,
        known_as: Mapping[Path, Path] | None = None,
        untrusted: Path | None = None,
        home: Path | None = None,
    ) -> Registry:
        """The pipelines of all sources. The project's override those of installed packages, and these override swath's.

        folders: the project's folders of pipelines. root: folder that the project's modules may import from; the nearest one
        with a swath.yaml when not given. known_as: for a folder that replaces another, such as that of a commit: the other one.
        Its modules get the other's names, so that results of one can be unpickled by the other. untrusted: the project's root, if
        it is not trusted: nothing is imported from the folders. home: the project's root, from which modules that a spec names
        are imported also when there are no pipelines.
        """
        packages = installed(ENTRY_POINTS)
        if untrusted is not None:
            own = UntrustedPipelines(folders, untrusted)
            return cls((StockPipelines(), InstalledPipelines(packages)), PipelineIndex.of_user(), own)
        project = ProjectPipelines(folders, packages, root, known_as or {}, home or root)
        return cls((StockPipelines(), InstalledPipelines(packages), project), PipelineIndex.of_user())

    @classmethod
    def of(cls, project: Project) -> Registry:
        """The pipelines that a spec of a project can name."""
        return cls.discover(project.pipelines, untrusted=None if project.trusted else project.root, home=project.root)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.entries)

    @property
    def not_loaded(self) -> str:
        """A line about the project's pipelines that are not loaded, because the project is not trusted; empty without any."""
        return self._untrusted.notice if self._untrusted is not None else ""

    def find(self, name: str) -> Pipeline:
        """The pipeline of that name. Raises PipelineError with a suggestion, and with what could not be imported.

        Makes the project's modules importable, also for pipelines of other sources.
        """
        for source in self._sources:
            source.prepare()
        if self._untrusted is not None and self._untrusted.may_define(name):
            raise PipelineError(
                f"the pipeline {name!r} may be one of {self._untrusted.root}, which is not trusted",
                remedy=f"read its pipelines, then: pipe trust {shlex.quote(str(self._untrusted.root))}",
            )
        if name in self.ambiguous:
            raise self.ambiguous[name]
        found = self._loaded(name)
        if found is None:
            self._collect(fresh=True)  # names may depend on more than the index checks, such as the environment
            found = self._loaded(name)
        if found is not None:
            return found
        import difflib

        close = difflib.get_close_matches(name, self.entries, 1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        failed = "".join(f"\n  {place} could not be loaded: {reason}" for place, reason in self.broken.items())
        hidden = f"; {self.not_loaded}" if self.not_loaded else ""
        raise PipelineError(
            f"there is no pipeline {name!r}{guess}{hidden}{failed}", remedy="`pipe list` shows the pipelines"
        )

    def spec_class(self, name: str) -> type[Spec]:
        """The Spec class of the pipeline of that name."""
        return self.find(name).spec_class

    def _loaded(self, name: str) -> Pipeline | None:
        """The pipeline; None if there is none of that name, or if the index is outdated."""
        try:
            return self.entries[name].pipeline if name in self.entries else None
        except Exception:  # noqa: BLE001 - of the module's code: the next import reports it
            return None

    def _collect(self, *, fresh: bool = False) -> None:
        """Scan all sources. fresh: without their indexes."""
        entries: dict[str, PipelineEntry] = {}
        broken: dict[str, str] = {}
        ambiguous: dict[str, PipelineError] = {}
        for source in self._sources:
            scan = source.scan(self._index, fresh=fresh)
            broken |= source.broken
            broken |= {source.origins[module]: reason for module, reason in scan.broken.items()}
            for each in scan.pipelines:
                load = partial(_load, source, each)
                entries[each.name] = PipelineEntry(each.name, each.summary, source.origins[each.module], load)
                ambiguous.pop(each.name, None)  # of an earlier source
            ambiguous |= source.ambiguous(scan.pipelines)
        self.ambiguous = ambiguous
        entries = {name: entry for name, entry in entries.items() if name not in ambiguous}
        self.entries, self.broken = dict(sorted(entries.items())), broken


def _load(source: PipelineSource, wanted: IndexedPipeline) -> Pipeline:
    """Import the pipeline. Raises LookupError if its module no longer has it."""
    found = [each for each in source.load(wanted.module) if each.name == wanted.name]
    if not found:
        raise LookupError(f"there is no pipeline {wanted.name!r} in {source.origins[wanted.module]}")
    return found[-1]
