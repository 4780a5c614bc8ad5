"""Temporary git worktree of a commit, from which `pipe run --ref` reads spec, swath.yaml and pipelines.

Only these three come from the commit. Every path that they name (imagery, models, areas, outputs), the state folder and
the results are those of the working project: data is rarely in git, and a map must outlive the worktree.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from swath.errors import SpecError, StateError, UsageError
from swath.project.git import TIMEOUT_S, GitFailed, Repository, git
from swath.project.project import Project
from swath.spec.clusters.cluster import Cluster
from swath.spec.fields.paths import ValidationContext
from swath.spec.project_file import ProjectFile
from swath.spec.project_root import FILE, project_root
from swath.spec.validation.validate import sorted_mistakes, validate
from swath.spec.yaml.document import parse, read
from swath.storage.private_folder import make_private

WORKTREES = "worktrees"
"""Folder in the state folder: worktrees, each with a lock file that is locked while it is used and names its repository."""


@dataclass(frozen=True)
class Worktree:
    """The files of one commit."""

    repository: Repository
    commit: str
    folder: Path
    """Of the worktree, absolute: it corresponds to the repository's top."""

    def moved(self, path: Path) -> Path | None:
        """A path of the working tree as a path of the worktree; None outside of the repository."""
        if path.is_relative_to(self.folder):  # already one; the worktree may lie in the working tree
            return path
        inside = self.repository.inside(path)
        return None if inside is None else self.folder / inside

    def spec(self, file: Path) -> str:
        """Text of a spec, given by its path in the working tree. Raises UsageError when it is not in the commit."""
        inside = self.repository.inside(file)
        if inside is None or not (self.folder / inside).is_file():
            name = inside or str(file)
            raise UsageError(
                f"{name} is not in commit {self.commit[:12]}",
                remedy=f"commit it, or name a commit that has it: `git log --oneline --all -- {shlex.quote(name)}` lists them",
            )
        return read(str(self.folder / inside))

    def project(self, file: Path, working: Project) -> Project:
        """The project of a spec in the commit; state and results are those of the working project.

        file: the spec, as a path of the working tree. Raises SpecError for mistakes in the commit's swath.yaml.
        """
        top = self.repository.top
        place = Path(self.repository.inside(file) or ".").parent
        own = next((each for each in (place, *place.parents) if (self.folder / each / FILE).is_file()), None)
        outer = project_root(top.parent)
        if own is None and (outer / FILE).is_file():  # it lies above the repository, so that no commit has it
            return replace(working, pipelines=tuple(map(self._code, working.pipelines)))
        root = top / (own or place)
        folder = self.folder / (own or place)
        pipelines, clusters, known = self._settings(folder / FILE, root, working) if own is not None else (None, {}, {})
        default = folder / "pipelines"
        folders = pipelines if pipelines is not None else ((default,) if default.is_dir() else ())
        return replace(
            working, root=root, pipelines=tuple(map(self._code, folders)), clusters=clusters, secrets={**working.secrets, **known},
            file=root / FILE if own is not None else None,
        )  # fmt: skip

    def _code(self, folder: Path) -> Path:
        """A folder of pipelines: in the worktree when the commit has it."""
        place = self.moved(folder)
        return place if place is not None and place.is_dir() else folder

    def _settings(
        self, file: Path, root: Path, working: Project
    ) -> tuple[tuple[Path, ...] | None, dict[str, Cluster], Mapping[str, str]]:
        """Folders of pipelines in the worktree (None: not given), clusters and secrets of the commit's swath.yaml."""
        document = parse(read(str(file)), f"{self.commit[:12]}:{self.repository.inside(root / FILE)}")
        data = document.data if document.data is not None else {}
        if not isinstance(data, dict):
            validate(ProjectFile, document, ValidationContext(root)).unwrap()
        code = replace(document, data={key: value for key, value in data.items() if key == "pipelines"}, mistakes=())
        rest = replace(document, data={key: value for key, value in data.items() if key != "pipelines"})
        env = None if working.trusted else working.env
        own, others = (
            validate(ProjectFile, code, ValidationContext(file.parent), env),
            validate(ProjectFile, rest, ValidationContext(root), env),
        )
        if mistakes := [*own.mistakes, *others.mistakes]:
            raise SpecError(list(sorted_mistakes(mistakes, document.file)))
        folders = own.unwrap().pipelines
        pipelines = None if folders is None else tuple(Path(folder) for folder in folders)
        return pipelines, dict(others.unwrap().clusters), {**own.secrets, **others.secrets}

    def origins(self, folders: tuple[Path, ...]) -> dict[Path, Path]:
        """For each folder of the worktree, the corresponding one of the working tree."""
        return {
            folder: self.repository.top / folder.relative_to(self.folder)
            for folder in folders
            if folder.is_relative_to(self.folder)
        }

    @contextlib.contextmanager
    def imported(self) -> Iterator[None]:
        """Inside, Python imports from the worktree instead of the working tree: entries of `sys.path` are replaced."""
        before = list(sys.path)
        program = Path(__file__).parents[2]  # swath itself is never replaced, also in its own repository
        for index, entry in enumerate(before):
            place = Path(entry or ".").absolute()
            moved = self.moved(place)
            if moved is not None and moved.is_dir() and place.resolve() != program:
                sys.path[index] = str(moved)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path[:] = before


@contextlib.contextmanager
def checkout(repository: Repository, commit: str, state: Path, patch: Path | None = None) -> Iterator[Worktree]:
    """A worktree with the files of a commit, to which a patch is applied; it is removed afterwards.

    state: the state folder. Worktrees of killed processes are removed first. Submodules and files in git LFS are not
    fetched. Raises StateError when it cannot be created, UsageError when the patch does not apply.
    """
    home = Path(os.path.realpath(state)) / WORKTREES
    folder = home / f"{commit[:12]}-{secrets.token_hex(4)}"
    try:
        make_private(home.parent)
        make_private(home)
        with _lock(home / "lock", wait=True):
            _clear(home)
            lock = _lock(_lock_of(folder))
            lock.write(os.fsencode(repository.top))
    except OSError as error:
        raise StateError(f"the state folder {home} cannot be written: {error}") from error
    with lock:
        try:
            _fill(repository, commit, folder)
            if patch is not None:
                _apply(patch, folder, commit)
            yield Worktree(repository, commit, folder)
        finally:
            _remove(repository.top, folder)
            _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _lock(file: Path, *, wait: bool = False) -> FileIO:
    """A lock file, locked until it is closed. Raises BlockingIOError when another process has locked it."""
    opened = FileIO(file, "a+")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        opened.close()
        raise
    return opened


def _clear(home: Path) -> None:
    """Remove the worktrees of processes that have ended."""
    for file in home.glob("*.lock"):
        with contextlib.suppress(BlockingIOError), _lock(file) as left:
            left.seek(0)
            top = Path(os.fsdecode(left.readall()))
            if Repository.around(top) is not None:  # the file may be of somebody else who names a repository of theirs
                _remove(top, file.with_suffix(""))
            shutil.rmtree(file.with_suffix(""), ignore_errors=True)
            file.unlink(missing_ok=True)


def _fill(repository: Repository, commit: str, folder: Path) -> None:
    try:
        repository.git("worktree", "add", "--detach", "--quiet", str(folder), commit, timeout_s=10 * TIMEOUT_S)
    except GitFailed as error:
        raise StateError(
            f"the worktree {folder} of {repository.top} cannot be created: {error}",
            remedy="git must be able to write to its own folder and to the state folder (SWATH_HOME names another)",
        ) from error


def _remove(top: Path, folder: Path) -> None:
    """Remove a worktree, also an incomplete one, and its entry in the repository."""
    for _ in range(2):  # git refuses one without a .git file, but forgets one whose folder is gone
        with contextlib.suppress(GitFailed):
            git(top, "worktree", "remove", "--force", "--force", str(folder), timeout_s=10 * TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _apply(patch: Path, folder: Path, commit: str) -> None:
    if not patch.is_file():
        raise UsageError(f"there is no patch {patch}", remedy="--patch takes a file that `git diff` wrote")
    try:
        git(folder, "apply", "--whitespace=nowarn", str(patch.absolute()))
    except GitFailed as error:
        raise UsageError(
            f"the patch {patch} does not apply to commit {commit[:12]}: {error}",
            remedy="give --ref the commit that the patch was made from",
        ) from error
