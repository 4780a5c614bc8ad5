"""A project: the folder that specs, state and own pipelines belong to, with what its swath.yaml says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swath.spec.clusters.cluster import Cluster
from swath.spec.clusters.prices import Prices
from swath.spec.notify import NotifySettings
from swath.spec.project_file import FILE, ProjectFolder
from swath.spec.yaml.document import parse, read


@dataclass(frozen=True)
class Project:
    """Where a run's state, pipelines and named clusters are. All paths are absolute."""

    root: Path
    """The nearest folder at or above the spec with a swath.yaml, else the spec's own folder."""
    state: Path
    """Folder of journals and results: $SWATH_HOME, else `state` of swath.yaml, else `.swath` in the root."""
    pipelines: tuple[Path, ...] = ()
    """Folders with the project's own pipelines; they exist."""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    """Clusters by name."""
    results: str | None = None
    """Where large results of calls are kept, a path or an fsspec URL; None means in the state folder."""
    file: Path | None = None
    """The swath.yaml, if there is one."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What swath.yaml took from the environment, and the references that asked for it; no log, message or report may show it."""
    notify: NotifySettings = field(default_factory=NotifySettings)
    """Who is told how a run ends."""
    prices: Prices = field(default_factory=Prices)
    """What swath.yaml says of prices in clouds."""

    @classmethod
    def find(cls, start: Path, env: Mapping[str, str] | None = None) -> Project:
        """The project around `start`, a file or a folder. Raises SpecError with every mistake in its swath.yaml."""
        home = ProjectFolder.find(start, env)
        said = home.file
        own = home.root / "pipelines"
        folders = said.pipelines if said is not None and said.pipelines is not None else ([own] if own.is_dir() else [])
        state = (os.environ if env is None else env).get("SWATH_HOME") or (said.state if said else None) or ".swath"
        return cls(
            root=home.root,
            state=Path(os.path.normpath(home.root / Path(state).expanduser())),
            pipelines=tuple(Path(folder) for folder in folders),
            clusters=home.clusters,
            results=said.results if said else None,
            file=home.root / "swath.yaml" if said else None,
            secrets=home.secrets,
            notify=said.notify if said else NotifySettings(),
            prices=said.prices if said else Prices(),
        )


def pipeline_folders(start: Path) -> tuple[Path, ...]:
    """`Project.find(start).pipelines`, sooner: where swath.yaml says nothing odd, its other fields are not looked at."""
    root = ProjectFolder.root_of(start)
    own = root / "pipelines"
    file = root / FILE
    if not file.is_file():
        return (own,) if own.is_dir() else ()
    document = parse(read(str(file)), str(file))
    said = document.data if isinstance(document.data, dict) else {}
    folders = said.get("pipelines")
    if document.mistakes or (document.data and not said):
        return Project.find(start).pipelines
    if folders is None:
        return (own,) if own.is_dir() else ()
    if isinstance(folders, list) and all(isinstance(f, str) and "$" not in f and (root / f).is_dir() for f in folders):
        return tuple(Path(os.path.normpath(root / folder)) for folder in folders)
    return Project.find(start).pipelines
