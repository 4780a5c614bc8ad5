"""A commit's files in a temporary worktree: what `pipe run --ref` takes spec, swath.yaml and pipelines from.

Only these three are the commit's. Every path that they name (imagery, models, areas, outputs), the state folder and the
results stay those of the working project: data is rarely in git, and a map must not vanish with the worktree.
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
from swath.project.git import PATIENCE_S, GitFailed, Repository, git
from swath.project.project import Project
from swath.spec.clusters.cluster import Cluster
from swath.spec.fields.paths import ValidationContext
from swath.spec.project_file import FILE, ProjectFile, ProjectFolder
from swath.spec.validation.validate import sorted_mistakes, validate
from swath.spec.yaml.document import parse, read

FOLDER = "worktrees"
"""In the state folder: a worktree each, beside a lock that is held as long as it is used and names its repository."""


@dataclass(frozen=True)
class Worktree:
    """The files of one commit."""

    repository: Repository
    commit: str
    folder: Path
    """Absolute; stands for the repository's top."""

    def moved(self, path: Path) -> Path | None:
        """Where a path of the working tree is in here; None when it is outside of the repository."""
        if path.is_relative_to(self.folder):  # which may be in the working tree
            return path
        inside = self.repository.inside(path)
        return None if inside is None else self.folder / inside

    def spec(self, file: Path) -> str:
        """The text of a spec, whose path is that of the working tree. Raises UsageError when it is not in the commit."""
        inside = self.repository.inside(file)
        if inside is None or not (self.folder / inside).is_file():
            name = inside or str(file)
            raise UsageError(
                f"{name} is not in commit {self.commit[:12]}",
                remedy=f"commit it, or name a commit that has it: `git log --oneline --all -- {shlex.quote(name)}` lists them",
            )
        return read(str(self.folder / inside))

    def project(self, file: Path, working: Project) -> Project:
        """The project of a spec as of the commit; state and results are those of the working project.

        file: the spec, as a path of the working tree.
        """
        top = self.repository.top
        place = Path(self.repository.inside(file) or ".").parent
        own = next((each for each in (place, *place.parents) if (self.folder / each / FILE).is_file()), None)
        outer = ProjectFolder.root_of(top.parent)
        if own is None and (outer / FILE).is_file():  # above the repository: no commit has it
            return replace(working, pipelines=tuple(map(self._code, working.pipelines)))
        root = top / (own or place)
        there = self.folder / (own or place)
        pipelines, clusters, known = self._said(there / FILE, root) if own is not None else (None, {}, {})
        usual = there / "pipelines"
        folders = pipelines if pipelines is not None else ((usual,) if usual.is_dir() else ())
        return replace(
            working, root=root, pipelines=tuple(map(self._code, folders)), clusters=clusters, secrets={**working.secrets, **known},
            file=root / FILE if own is not None else None,
        )  # fmt: skip

    def _code(self, folder: Path) -> Path:
        """A folder of pipelines, in here when the commit has it."""
        place = self.moved(folder)
        return place if place is not None and place.is_dir() else folder

    def _said(self, file: Path, root: Path) -> tuple[tuple[Path, ...] | None, dict[str, Cluster], Mapping[str, str]]:
        """Folders of pipelines in here, clusters and secrets of the commit's swath.yaml."""
        document = parse(read(str(file)), f"{self.commit[:12]}:{self.repository.inside(root / FILE)}")
        data = document.data if document.data is not None else {}
        if not isinstance(data, dict):
            validate(ProjectFile, document, ValidationContext(root)).unwrap()
        code = replace(document, data={key: value for key, value in data.items() if key == "pipelines"}, mistakes=())
        rest = replace(document, data={key: value for key, value in data.items() if key != "pipelines"})
        said, others = (
            validate(ProjectFile, code, ValidationContext(file.parent)),
            validate(ProjectFile, rest, ValidationContext(root)),
        )
        if mistakes := [*said.mistakes, *others.mistakes]:
            raise SpecError(list(sorted_mistakes(mistakes, document.file)))
        folders = said.unwrap().pipelines
        pipelines = None if folders is None else tuple(Path(folder) for folder in folders)
        return pipelines, dict(others.unwrap().clusters), {**said.secrets, **others.secrets}

    def origins(self, folders: tuple[Path, ...]) -> dict[Path, Path]:
        """For each folder in here: the one of the working tree that it stands for."""
        return {
            folder: self.repository.top / folder.relative_to(self.folder)
            for folder in folders
            if folder.is_relative_to(self.folder)
        }

    @contextlib.contextmanager
    def imported(self) -> Iterator[None]:
        """Inside, modules that would come from the working tree come from here: places of `sys.path` are moved."""
        before = list(sys.path)
        program = Path(__file__).parents[2]  # this very program stays what it is, also in its own repository
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
def checked_out(repository: Repository, commit: str, state: Path, patch: Path | None = None) -> Iterator[Worktree]:
    """A worktree with the files of a commit, and a patch in it, that is gone afterwards. state: the state folder.

    What a process that was killed left goes when the next one comes here. Submodules and files that git LFS keeps
    elsewhere are not fetched.
    """
    home = Path(os.path.realpath(state)) / FOLDER
    folder = home / f"{commit[:12]}-{secrets.token_hex(4)}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home / "lock", wait=True):
            _clear(home)
            held = _lock(_lock_of(folder))
            held.write(os.fsencode(repository.top))
    except OSError as error:
        raise StateError(f"the state folder {home} cannot be written: {error}") from error
    with held:
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
    """A file, made if need be and locked until it is closed. Raises BlockingIOError when another process holds it."""
    opened = FileIO(file, "a+")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        opened.close()
        raise
    return opened


def _clear(home: Path) -> None:
    """Remove the worktrees whose process is gone."""
    for file in home.glob("*.lock"):
        with contextlib.suppress(BlockingIOError), _lock(file) as left:
            left.seek(0)
            top = Path(os.fsdecode(left.readall()))
            _remove(top, file.with_suffix(""))
            file.unlink(missing_ok=True)


def _fill(repository: Repository, commit: str, folder: Path) -> None:
    try:
        repository.git("worktree", "add", "--detach", "--quiet", str(folder), commit, patience_s=10 * PATIENCE_S)
    except GitFailed as error:
        raise StateError(
            f"the worktree {folder} of {repository.top} cannot be made: {error}",
            remedy="git has to be able to write to its own folder and to the state folder (SWATH_HOME moves that)",
        ) from error


def _remove(top: Path, folder: Path) -> None:
    """Remove a worktree, also one that was never finished, and what the repository knows of it."""
    for _ in range(2):  # git does not touch one that has lost its .git file, but forgets one whose folder is gone
        with contextlib.suppress(GitFailed):
            git(top, "worktree", "remove", "--force", "--force", str(folder), patience_s=10 * PATIENCE_S)
        shutil.rmtree(folder, ignore_errors=True)


def _apply(patch: Path, folder: Path, commit: str) -> None:
    if not patch.is_file():
        raise UsageError(f"there is no patch {patch}", remedy="--patch takes a file that `git diff` wrote")
    try:
        git(folder, "apply", "--whitespace=nowarn", str(patch.absolute()))
    except GitFailed as error:
        raise UsageError(
            f"the patch {patch} does not fit on commit {commit[:12]}: {error}",
            remedy="give --ref the commit that the patch was made from",
        ) from error
