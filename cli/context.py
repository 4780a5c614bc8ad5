"""What commands read first: the project, its pipelines, a spec."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from swath.project.project import Project
from swath.project.registry import Registry

if TYPE_CHECKING:
    from swath.engine.journal_rows import RunRow
    from swath.project.provenance import CodeSource
    from swath.project.worktree import Worktree
    from swath.spec.loading.load import LoadedSpec


@dataclass(frozen=True)
class SpecContext:
    """A spec that is right, and where it belongs."""

    loaded: LoadedSpec
    project: Project
    registry: Registry
    source: CodeSource | None = None
    """What spec and pipelines were taken from when that is not the files as they are."""


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


def read_spec(file: Path, sets: list[str], cluster: str | None) -> SpecContext:
    """Load a spec in the project that it lies in. Raises SpecError with every mistake."""
    project = around(file.absolute().parent)
    registry = registry_of(project)
    return SpecContext(load_spec(file, sets, cluster, project, registry), project, registry)


def load_spec(file: Path, sets: list[str], cluster: str | None, project: Project, registry: Registry) -> LoadedSpec:
    """Load a spec in a project whose pipelines are known already."""
    from swath.spec.loading.load import load

    return load(
        file, overrides=tuple(sets), cluster=cluster, project=project, find=registry.spec_class, names=registry.names
    )


@contextlib.contextmanager
def read_commit(
    file: Path, sets: list[str], cluster: str | None, ref: str, patch: Path | None
) -> Iterator[SpecContext]:
    """Load a spec as of a commit, with a patch on it. Its pipelines can be used inside only.

    Raises UsageError when there is no such commit or the spec is not in it, SpecError with every mistake.
    """
    from swath.spec.loading.load import parse

    file_there = file.absolute()
    working = around(file_there.parent)
    with _worktree(file_there, ref, patch, working.state) as tree:
        text = tree.spec(file_there)
        project = tree.project(file_there, working)
        with _registry_in(tree, project) as registry:
            loaded = parse(
                text, str(file), tuple(sets), cluster, project, find=registry.spec_class, names=registry.names
            )
            yield SpecContext(loaded, project, registry, _source(tree, ref, patch, file_there, loaded))


@contextlib.contextmanager
def read_run(row: RunRow, state: Path) -> Iterator[SpecContext]:
    """The spec of an earlier run, with the pipelines that it took: those of its commit, or as they are now."""
    from swath.project.uncommitted import FILE
    from swath.runner.runner import resume_loaded

    working = replace(around(Path(row.root)), state=state)
    if not row.git.get("ref"):
        registry = registry_of(working)
        yield SpecContext(resume_loaded(row, working, registry), working, registry)
        return
    file = Path(row.root) / row.git["spec"]
    patch = state / "runs" / row.id / FILE if row.git["dirty"] else None
    with _worktree(file, row.git["commit"], patch, state) as tree:
        project = tree.project(file, working)
        with _registry_in(tree, project) as registry:
            loaded = resume_loaded(row, project, registry)
            yield SpecContext(loaded, project, registry, _source(tree, row.git["ref"], patch, file, loaded))


@contextlib.contextmanager
def _worktree(file: Path, ref: str, patch: Path | None, state: Path) -> Iterator[Worktree]:
    from swath.errors import UsageError
    from swath.project.git import Repository
    from swath.project.worktree import checked_out

    repository = Repository.around(file.parent)
    if repository is None:
        raise UsageError(
            f"{file} is in no git repository, so there is no commit to take it from",
            remedy="leave --ref out, or run `git init` and commit the project",
        )
    with checked_out(repository, repository.commit(ref), state, patch) as tree:
        yield tree


@contextlib.contextmanager
def _registry_in(tree: Worktree, project: Project) -> Iterator[Registry]:
    with tree.imported():
        root = tree.moved(project.root) or tree.folder
        yield Registry.discover(project.pipelines, root, tree.origins(project.pipelines))


def _source(tree: Worktree, ref: str, patch: Path | None, file: Path, loaded: LoadedSpec) -> CodeSource:
    from swath.project.provenance import CodeSource
    from swath.project.uncommitted import Changes

    diff = patch.read_bytes().decode("utf-8", "surrogateescape") if patch is not None else ""
    return CodeSource.of_commit(tree.commit, ref, Changes(diff, "whole" if diff else ""), file, loaded.root)
