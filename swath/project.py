"""A project: the folder that specs, state and own pipelines belong to, with what its swath.yaml says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swath.spec.cluster import Cluster
from swath.spec.home import Home


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
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)
    """What swath.yaml took from the environment; no log, message or report may show it."""

    @classmethod
    def find(cls, start: Path, env: Mapping[str, str] | None = None) -> Project:
        """The project around `start`, a file or a folder. Raises SpecError with every mistake in its swath.yaml."""
        home = Home.find(start, env)
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
        )
