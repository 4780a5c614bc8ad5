"""A job: everything that a run of a spec needs, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from swath.run_id import new_run_id
from swath.runner import matrix
from swath.spec.fields.output import Destination
from swath.spec.loading.load import LoadedSpec
from swath.spec.locations import is_stream, spec_stem
from swath.spec.secrets import masked_errors, scrub
from swath.spec.validation.reachability import STAGING_KINDS, results_location

if TYPE_CHECKING:
    from swath.engine.journal_rows import RunRow
    from swath.graph.graph import Graph
    from swath.graph.pipeline import Pipeline
    from swath.project.project import Project
    from swath.project.provenance import CodeSource
    from swath.project.registry import Registry
    from swath.spec.base import Spec


@dataclass(frozen=True)
class Job:
    """A valid spec with its project and pipelines: what `run`, `plan` and `explain` take.

    `swath.runner.load` makes them. What is costly (graph, source) is computed when it is first asked for, once.
    """

    loaded: LoadedSpec
    """The spec: typed, with the text that it was read from."""
    project: Project
    """Where its state, results and named clusters are."""
    registry: Registry
    """All pipelines that a spec of this project can name."""
    commit: CodeSource | None = None
    """The commit that spec and pipelines were taken from; None for the files as they are."""
    earlier: RunRow | None = None
    """The run that is resumed; None for a new run."""

    @property
    def spec(self) -> Spec:
        """The typed spec; of a matrix the first variant's."""
        return self.loaded.spec

    @property
    def name(self) -> str:
        """Of the run: the spec's `name`, else the name of its file."""
        return self.loaded.spec.name or spec_stem(self.loaded.file)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline that the spec names."""
        return self.registry.find(self.loaded.pipeline)

    @cached_property
    def variant_graphs(self) -> tuple[Graph, ...]:
        """The graph of each variant in the order of `loaded.specs`; one graph for a spec without a matrix.

        Raises PipelineError when one of them cannot be built.
        """
        with self._hidden_secrets():
            return matrix.variant_graphs(self.pipeline, self.loaded)

    @cached_property
    def graph(self) -> Graph:
        """The graph of the run: of a matrix all variants side by side. Raises PipelineError when it cannot be built."""
        graphs = self.variant_graphs
        with self._hidden_secrets():
            return matrix.joined(self.pipeline, self.loaded, graphs)

    def _hidden_secrets(self) -> AbstractContextManager[None]:
        return masked_errors(self.loaded.secrets, f"pipeline {self.loaded.pipeline} cannot be built")

    @property
    def outputs(self) -> tuple[Destination, ...]:
        """The destinations that the spec names, of all its variants."""
        specs = self.loaded.specs
        return tuple(value for spec in specs for value in spec.parameters().values() if isinstance(value, Destination))

    @cached_property
    def secrets(self) -> Mapping[str, str]:
        """Texts that no log, message or report may show, and what is shown instead: values of the environment, and the
        addresses of notifications."""
        addresses: dict[str, str] = {}
        for notify in (self.project.notify, *(spec.notify for spec in self.loaded.specs)):
            addresses |= notify.secrets()
        return {**addresses, **self.loaded.secrets, **self.project.secrets}

    def scrub(self, text: str) -> str:
        """The text without secrets."""
        return scrub(text, self.secrets)

    @property
    def results(self) -> str:
        """Where large results of calls are stored: a path or an fsspec URL that workers can reach."""
        return results_location(self.loaded.spec, self.project.results) or str(self.project.state / "results")

    @property
    def result_secrets(self) -> Mapping[str, str]:
        """Values of the environment and their references: stored results hold the references instead."""
        return {**self.loaded.secrets, **self.project.secrets}

    @cached_property
    def source(self) -> CodeSource:
        """What spec and pipelines were taken from: a commit, or the files as they are when this is first asked for."""
        if self.commit is not None:
            return self.commit
        from swath.project.provenance import CodeSource

        loaded, project = self.loaded, self.project
        earlier = self.earlier
        used = [*project.pipelines, *([project.file] if project.file else [])]
        if is_stream(loaded.file):
            return CodeSource.of_files(None, loaded.root, used, self.scrub)
        file = loaded.root / earlier.git.get("spec", loaded.file) if earlier else Path(loaded.file).absolute()
        return CodeSource.of_files((file, loaded.text), loaded.root, used, self.scrub)

    def new_id(self) -> str:
        """An id for a new run."""
        return new_run_id(self.name)

    def staged(self, say: Callable[[str], None] = lambda text: None) -> Job:
        """The job with inputs of this machine copied to the bucket that `stage` of the spec names, and their addresses in the
        spec; the same job where nothing is to be copied. `say` gets lines about the progress.

        Raises UsageError when something cannot be staged, CredentialsError and InfrastructureError when the bucket refuses it.
        """
        if self.loaded.spec.cluster.kind not in STAGING_KINDS:
            return self
        from swath.runner import staging

        loaded = staging.staged(self.loaded, say)
        return self if loaded is self.loaded else replace(self, loaded=loaded)
