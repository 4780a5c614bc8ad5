"""swath.yaml: the settings of a project. Relative paths in specs are relative to its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from swath.spec.clusters.cluster import Cluster
from swath.spec.clusters.prices import Prices
from swath.spec.fields.paths import InputPath, OutputPath, ValidationContext
from swath.spec.notify import NotifySettings
from swath.spec.project_root import FILE, has_settings, project_root
from swath.spec.spec_model import SpecModel
from swath.spec.yaml.allowed_environment import AllowedEnvironment

HostPattern = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class ProjectFile(SpecModel):
    """The fields of swath.yaml."""

    clusters: dict[str, Cluster] = Field(default_factory=dict)
    """Clusters by name, for `cluster: NAME` in a spec and `--cluster NAME`."""
    pipelines: tuple[InputPath, ...] | None = None
    """Folders with the project's own pipelines; `pipelines` when not given."""
    env: tuple[str, ...] | None = None
    """Environment variables that specs may read as `${env:NAME}`; all when not given. swath.yaml itself may read all."""
    env_hosts: tuple[HostPattern, ...] | None = None
    """Hosts, and buckets, into whose addresses specs may put such a value, as `https://api.example.org/?key=${env:KEY}`: names, or
    `*.example.org`; all when not given. An address that is a variable's value as a whole needs no entry."""
    state: OutputPath | None = None
    """Folder of journals and results; `.swath` when not given. The environment variable SWATH_HOME overrides it."""
    results: OutputPath | None = None
    """Store of large results of calls: a path or an fsspec URL; in the state folder when not given."""
    notify: NotifySettings = Field(default_factory=NotifySettings)
    """Notifications at the end of every run, in addition to those of its spec."""
    prices: Prices = Field(default_factory=Prices)
    """Prices in clouds that differ from the table in the package (see docs/costs.md)."""
    triggers: dict[str, Any] = Field(default_factory=dict)
    """What starts runs by itself; `pipe watch` reads it (see docs/triggers.md)."""


@dataclass(frozen=True)
class ProjectFolder:
    """A project's folder with the settings of its swath.yaml."""

    root: Path
    """Absolute: the folder of swath.yaml; without one, the folder where the search began."""
    file: ProjectFile | None = None
    """The settings; None when there is no swath.yaml."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values that swath.yaml has from the environment, and their references."""
    trusted: bool = True
    """Whether specs may name Python code and clusters of others."""

    def environment(self, env: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The environment that specs may read. env: this process's own when not given."""
        return limited(env, self.file)

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """Clusters by name."""
        return self.file.clusters if self.file else {}

    @property
    def results(self) -> str | None:
        """Store of large results, if it is set."""
        return self.file.results if self.file else None

    @classmethod
    def find(cls, start: Path, env: Mapping[str, str] | None = None) -> ProjectFolder:
        """The project of `start`, a file or a folder. Raises SpecError with every mistake in swath.yaml."""
        root = project_root(start)
        return cls._read(root, env) if has_settings(root) else cls(root)

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


def limited(env: Mapping[str, str] | None, file: ProjectFile | None) -> Mapping[str, str] | None:
    """The part of an environment that specs may read, by `env` and `env_hosts` of swath.yaml. env: None is this process's own."""
    if file is None or (file.env is None and file.env_hosts is None):
        return env
    values = os.environ if env is None else env
    if isinstance(values, AllowedEnvironment):  # of a project that is not trusted
        return values.limited_to(file.env)
    return AllowedEnvironment(
        values, file.env, f"{FILE} lists the names in `env`, without this one",
        hosts=file.env_hosts, why_not_there=f"{FILE} lists the hosts in `env_hosts`, without this one",
    )  # fmt: skip
