"""Project: the folder of specs, pipelines and state, with the settings of its swath.yaml."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swath.errors import UsageError
from swath.project.trust import TrustedFolders
from swath.spec.clusters.cluster import Cluster
from swath.spec.clusters.prices import Prices
from swath.spec.notify import NotifySettings
from swath.spec.project_file import ProjectFolder
from swath.spec.project_root import project_root
from swath.spec.yaml.allowed_environment import AllowedEnvironment
from swath.storage.state_owner import RESULTS_KEY, is_own

SECRETS = "SWATH_SECRETS"
"""Environment variable with the names, separated by commas, of variables whose values no log, message or report may show."""


@dataclass(frozen=True)
class Project:
    """Folders and settings of a project. All paths are absolute."""

    root: Path
    """The nearest folder at or above the spec with a swath.yaml, else the spec's own folder."""
    state: Path
    """Folder of journals and results: $SWATH_HOME, else `state` of swath.yaml, else `.swath` in the root."""
    pipelines: tuple[Path, ...] = ()
    """Existing folders with the project's own pipelines."""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    """Clusters of swath.yaml by name."""
    results: str | None = None
    """Where large results of calls are stored, a path or an fsspec URL; None means in the state folder."""
    file: Path | None = None
    """The swath.yaml, if there is one."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values that swath.yaml took from the environment -> their references. No log, message or report may show a value."""
    notify: NotifySettings = field(default_factory=NotifySettings)
    """Addresses that are notified of the end of every run."""
    prices: Prices = field(default_factory=Prices)
    """Cloud prices of swath.yaml."""
    trusted: bool = False
    """Whether its Python code may be imported (see swath.project.trust)."""
    env: Mapping[str, str] | None = field(default=None, repr=False)
    """The environment that its specs may read as `${env:NAME}`; None is this process's own."""

    def environment(self, env: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The environment that specs may read. env: instead of this project's own."""
        return self.env if env is None else env

    @classmethod
    def find(
        cls,
        start: Path,
        env: Mapping[str, str] | None = None,
        *,
        trust: bool = False,
        allow_env: Collection[str] = (),
    ) -> Project:
        """The project around `start`, a file or a folder. Raises SpecError with every mistake in its swath.yaml.

        trust: trust it even if its user has not. allow_env: environment variables that also an untrusted project may read, each as
        NAME, or as NAME@HOST where its value may be a part of an address of that host.
        """
        root = project_root(start)
        trusted = trust or TrustedFolders.of_user(env).has(root)
        readable = env
        if not trusted:
            readable = _allowed(os.environ if env is None else env, allow_env, root)
        found = ProjectFolder.find(start, readable)
        settings = found.file
        default = found.root / "pipelines"
        folders = settings.pipelines if settings is not None else None
        if folders is None:
            folders = (str(default),) if default.is_dir() else ()
        state = (
            (os.environ if env is None else env).get("SWATH_HOME") or (settings.state if settings else None) or ".swath"
        )
        folder = Path(os.path.normpath(found.root / Path(state).expanduser()))
        if not trusted and not (os.environ if env is None else env).get("SWATH_HOME"):
            _refuse_foreign(folder, root)
        return cls(
            root=found.root,
            state=folder,
            pipelines=tuple(Path(folder) for folder in folders),
            clusters=found.clusters,
            results=settings.results if settings else None,
            file=found.root / "swath.yaml" if settings else None,
            secrets={**_given(os.environ if env is None else env), **found.secrets},
            notify=settings.notify if settings else NotifySettings(),
            prices=settings.prices if settings else Prices(),
            trusted=trusted,
            env=found.environment(readable),
        )


def _allowed(env: Mapping[str, str], allow_env: Collection[str], root: Path) -> AllowedEnvironment:
    """What the specs of an untrusted project may read and send."""
    hosts: dict[str, list[str]] = {}
    for word in allow_env:
        name, _, host = word.partition("@")
        hosts.setdefault(name, []).extend([host] if host else [])
    untrusted = f"the folder {root} is not trusted (pipe trust {root}, or"
    return AllowedEnvironment(
        env, hosts, f"{untrusted} --allow-env NAME)", hosts=hosts, why_not_there=f"{untrusted} --allow-env NAME@HOST)"
    )


def _given(env: Mapping[str, str]) -> dict[str, str]:
    """Values of the variables that SWATH_SECRETS names -> their references: an agent has given this run secrets."""
    names = filter(None, env.get(SECRETS, "").split(","))
    return {env[name]: f"${{env:{name}}}" for name in names if env.get(name)}


def _refuse_foreign(state: Path, root: Path) -> None:
    """Raise UsageError for a state folder outside of an untrusted project, and for one in it that this user's swath did not create.

    The key of a foreign one could make a run load its pickles, its journal could name other folders and runs of trusted projects, and
    links in it lead elsewhere.
    """
    try:
        if is_own(state):
            return
        entries = list(os.scandir(state)) if state.is_dir() else []
        # With its log of changes beside it, SQLite makes a journal of nothing.
        there = any(each.name.startswith("journal.sqlite") or each.name in (RESULTS_KEY, "results") for each in entries)
        links = any(entry.is_symlink() for entry in entries)
    except OSError as error:
        raise UsageError(
            f"{root}/swath.yaml: state: {error.strerror}: {str(state)[:200]}", remedy="name another folder"
        ) from error
    if there or links:
        raise UsageError(
            f"the state folder {state} was not created by this user's swath, and the folder {root} is not trusted",
            remedy=f"if it is yours: pipe trust {root}; if it came with the folder, remove it, or set SWATH_HOME to another",
        )
    if not Path(os.path.realpath(state)).is_relative_to(os.path.realpath(root)):
        raise UsageError(
            f"swath.yaml names the state folder {state}, which is not in {root}, and that folder is not trusted",
            remedy=f"trust it (pipe trust {root}), leave `state` out, or set SWATH_HOME to a folder of your own",
        )
