"""What commands read first: the project, its pipelines, a spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from swath.graph.registry import Registry
from swath.project import Project

if TYPE_CHECKING:
    from swath.spec.load import Loaded


@dataclass(frozen=True)
class Read:
    """A spec that is right, and where it belongs."""

    loaded: Loaded
    project: Project
    registry: Registry


def here() -> Project:
    """The project of the current folder."""
    return Project.find(Path.cwd())


def around(folder: Path) -> Project:
    """The project of a folder. When none is marked by a swath.yaml, its runs are kept where the command is given."""
    found = Project.find(folder)
    return found if found.file is not None else replace(found, state=here().state)


def registry_of(project: Project) -> Registry:
    """Every pipeline that a spec in this project can name."""
    return Registry.discover(project.pipelines)


def read_spec(file: Path, sets: list[str], cluster: str | None) -> Read:
    """Load a spec in the project that it lies in. Raises SpecError with every mistake."""
    project = around(file.absolute().parent)
    registry = registry_of(project)
    return Read(load_spec(file, sets, cluster, project, registry), project, registry)


def load_spec(file: Path, sets: list[str], cluster: str | None, project: Project, registry: Registry) -> Loaded:
    """Load a spec in a project whose pipelines are known already."""
    from swath.spec.load import load

    return load(
        file, overrides=tuple(sets), cluster=cluster, project=project, find=registry.spec_class, names=registry.names
    )
