"""The code of a run on the agent's machine: a folder that is there, or a commit of a git repository that the agent accepts."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from swath.agent.attempt_folder import AttemptFolder
from swath.agent.git_cache import CREDENTIALS, GitCache
from swath.errors import UsageError
from swath.project.project import Project
from swath.project.trust import VARIABLE as TRUST
from swath.protocol.messages import Work
from swath.protocol.sources import FolderSource, GitSource, accepts, read_source
from swath.spec.project_root import FILE
from swath.storage.private_folder import make_private

OLD_S = 7 * 24 * 3600.0
"""How long the files of a commit are kept for runs that may be resumed."""


class RunCode(Protocol):
    """Where a run's project and its state are."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        ...

    @property
    def state(self) -> Path:
        """The folder with its journal."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the files are there."""
        ...

    def resolve(self, stop: threading.Event) -> str:
        """The commit that is to be executed; empty where there is none."""
        ...

    def check_out(self, commit: str, stop: threading.Event) -> None:
        """Bring the files of that commit."""
        ...

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment of the run."""
        ...

    def release(self, *, finished: bool) -> None:
        """The attempt has ended. finished: nobody will resume its run."""
        ...


class FolderCode:
    """A folder of this machine, which its user trusts or does not."""

    def __init__(self, source: FolderSource) -> None:
        self.root = Path(source.folder)
        self.state = Project.find(self.root).state if self.root.is_dir() else self.root
        self.ready = True

    def resolve(self, stop: threading.Event) -> str:
        return ""

    def check_out(self, commit: str, stop: threading.Event) -> None:
        return

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        secret = any(re.search(r"extraheader$", value, re.IGNORECASE) for name, value in env.items() if "_KEY_" in name)
        return {name: value for name, value in env.items() if not (secret and CREDENTIALS.fullmatch(name))}

    def release(self, *, finished: bool) -> None:
        return


class GitCode:
    """A commit of a repository. All attempts of a run have their files at one path, so that results of calls on them stay valid."""

    def __init__(self, source: GitSource, work: Work, home: Path) -> None:
        """home: the agent's folder."""
        self._source = source
        self._ref = work.commit or work.request.ref or source.ref
        self._home = home
        self._tree = home / "trees" / work.project / work.run
        self._mark = self._tree.with_name(f"{work.run}.commit")
        self.root = self._tree / source.path
        self.state = home / "projects" / work.project

    @property
    def ready(self) -> bool:
        return self._mark.exists() and self._tree.is_dir()

    def resolve(self, stop: threading.Event) -> str:
        return self._cache(stop).resolve(self._ref)

    def check_out(self, commit: str, stop: threading.Event) -> None:
        cache = self._cache(stop)
        cache.fetch(commit)
        self._mark.unlink(missing_ok=True)
        cache.check_out(commit, self._tree)
        if not (self.root / FILE).is_file() or not self.root.resolve().is_relative_to(self._tree.resolve()):
            cache.remove(self._tree)
            raise UsageError(
                f"commit {commit[:12]} of {self._source.git} has no {FILE} in {self._source.path!r}",
                remedy="add one, it may be empty, or give the project its path in the repository",
            )
        make_private(self.state)
        self._mark.write_text(f"{commit}\n")

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in env.items() if not CREDENTIALS.fullmatch(name)}
        before = kept.get(TRUST, "")
        trusted = before if before.strip().lower() in ("1", "true") else f"{before}:{self.root}".lstrip(":")
        return kept | {TRUST: trusted, "SWATH_HOME": str(self.state)}

    def release(self, *, finished: bool) -> None:
        cache = self._cache(threading.Event())
        old = [mark for mark in self._mark.parent.glob("*.commit") if self._old(mark)]
        for mark in {*old, *([self._mark] if finished and self._mark.exists() else [])}:
            tree = mark.with_suffix("")
            if not cache.changed(tree):  # what a run has written there are its outputs
                mark.unlink(missing_ok=True)
                cache.remove(tree)

    def _old(self, mark: Path) -> bool:
        attempts = (self._home / "attempts").glob(f"{mark.stem}.*")
        return time.time() - mark.stat().st_mtime > OLD_S and all((each / "ended").exists() for each in attempts)

    def _cache(self, stop: threading.Event) -> GitCache:
        return GitCache(self._home / "code", self._source.git, stop)


def run_code(folder: AttemptFolder) -> RunCode:
    """The code of an attempt. Raises UsageError when the agent does not accept it, whatever the server says."""
    settings = folder.settings()
    return project_code(folder.work, settings.accepts, Path(settings.home))


def project_code(work: Work, accepted: Sequence[str], home: Path) -> RunCode:
    """The code of a project. accepted: repositories. home: the agent's folder. Raises UsageError, see run_code."""
    try:
        source = read_source(work.source)
    except ValueError as error:
        raise UsageError(f"project {work.project}: {error}", remedy="`pipe project add` changes it") from None
    if isinstance(source, FolderSource):
        return FolderCode(source)
    if not accepts(accepted, source.git):
        raise UsageError(
            f"this agent does not execute code of {source.git}", remedy=f"start it with --accept {source.git}"
        )
    return GitCode(source, work, home)
