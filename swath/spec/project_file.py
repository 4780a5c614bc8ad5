"""swath.yaml: what a project says once for all its specs. Its folder is what relative paths are relative to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from swath.spec.clusters.cluster import Cluster
from swath.spec.clusters.prices import Prices
from swath.spec.fields.paths import InputPath, OutputPath, ValidationContext
from swath.spec.notify import NotifySettings
from swath.spec.project_root import FILE, project_root
from swath.spec.spec_model import SpecModel


class ProjectFile(SpecModel):
    """What swath.yaml may say."""

    clusters: dict[str, Cluster] = Field(default_factory=dict)
    """Clusters by name, for `cluster: NAME` in a spec and `--cluster NAME`."""
    pipelines: tuple[InputPath, ...] | None = None
    """Folders with the project's own pipelines; `pipelines` when not given."""
    state: OutputPath | None = None
    """Folder of journals and results; `.swath` when not given. The variable SWATH_HOME goes before it."""
    results: OutputPath | None = None
    """Where large results of calls are kept: a path or an fsspec URL; in the state folder when not given."""
    notify: NotifySettings = Field(default_factory=NotifySettings)
    """Who is told how a run ends, of any spec; a spec can name more."""
    prices: Prices = Field(default_factory=Prices)
    """What machines in clouds cost, where that is not what the table in the package says (see docs/costs.md)."""


@dataclass(frozen=True)
class ProjectFolder:
    """A project's folder and what its swath.yaml says."""

    root: Path
    """Absolute: the folder of swath.yaml, or the folder that was asked for when there is none."""
    file: ProjectFile | None = None
    """None when there is no swath.yaml."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values that swath.yaml took from the environment, and the references that asked for them."""

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """Clusters by name."""
        return self.file.clusters if self.file else {}

    @property
    def results(self) -> str | None:
        """Where large results are kept, if it says so."""
        return self.file.results if self.file else None

    @classmethod
    def find(cls, start: Path, env: Mapping[str, str] | None = None) -> ProjectFolder:
        """The nearest folder at or above `start` (a file or a folder) that has a swath.yaml, else `start`'s own.

        Raises SpecError with every mistake in swath.yaml.
        """
        root = project_root(start)
        return cls._read(root, env) if (root / FILE).is_file() else cls(root)

    @classmethod
    def _read(cls, root: Path, env: Mapping[str, str] | None) -> ProjectFolder:
        from swath.spec.validation.validate import validate
        from swath.spec.yaml.document import parse, read

        file = str(root / FILE)
        document = parse(read(file), file)
        if document.data is None:
            return cls(root, ProjectFile())
        found = validate(ProjectFile, document, ValidationContext(root), env)
        return cls(root, found.unwrap(), found.secrets)
