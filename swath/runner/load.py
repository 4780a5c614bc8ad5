"""Where jobs come from: a spec's file, a commit, or an earlier run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from swath.errors import Mistake, SpecError, UsageError
from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner.job import Job
from swath.spec.locations import is_stream, spec_folder

if TYPE_CHECKING:
    from swath.engine.journal_rows import RunRow
    from swath.project.provenance import CodeSource
    from swath.project.worktree import Worktree
    from swath.spec.loading.load import LoadedSpec

Overrides = Mapping[str, Any] | Iterable[str]
"""Values that replace those of a spec: {"output.to": "out/b"}, or texts such as "output.to=out/b" that are read as YAML."""


def load(
    path: str | PurePath,
    set: Overrides = (),  # noqa: A002 - as the command's --set
    cluster: str | None = None,
    *,
    trust: bool = True,
    allow_env: Collection[str] = (),
) -> Job:
    """The job of a spec's file, in the project that the file lies in; of `-` that of standard input, in the current folder's project.

    set: values that replace those of the spec. cluster: where to run instead of what the spec says, as in `cluster:`.
    trust: whether code of the project may be imported. With False only if its user trusts it (`pipe trust`, SWATH_TRUST).
    allow_env: environment variables that the spec may read as `${env:NAME}` also if the project is not trusted.

    Raises SpecError with every mistake of the spec, UsageError for a value of `set` that YAML cannot hold.
    """
    project = project_of(spec_folder(str(path)), trust=trust, allow_env=allow_env)
    return load_in(path, set, cluster, project, Registry.of(project), library=trust)


def load_in(
    path: str | PurePath,
    set: Overrides,  # noqa: A002
    cluster: str | None,
    project: Project,
    registry: Registry,
    *,
    library: bool = False,
) -> Job:
    """The job of a spec's file in a project whose pipelines are known already. Raises as `load` does; library: the messages name the
    arguments of `load`, not the options of the command."""
    from swath.spec.loading.load import load

    try:
        loaded = load(str(path), override_texts(set), cluster, project, find=registry.spec_class, names=registry.names)
    except SpecError as error:
        raise SpecError([_with_place(each, cluster is not None, library) for each in error.mistakes]) from None
    return Job(loaded, project, registry)


def _with_place(mistake: Mistake, has_cluster: bool, library: bool) -> Mistake:
    """A mistake in an override, with the argument or the option that it came from."""
    option, _, key = mistake.file.partition(" ")
    if option != "--set":
        return mistake
    if key == "cluster" and has_cluster:
        return replace(mistake, file="cluster" if library else "--cluster")
    return replace(mistake, file=f'set["{key}"]') if library else mistake


@contextlib.contextmanager
def load_commit(
    path: str | PurePath,
    ref: str,
    set: Overrides = (),  # noqa: A002
    cluster: str | None = None,
    patch: Path | None = None,
    *,
    trust: bool = True,
    allow_env: Collection[str] = (),
) -> Iterator[Job]:
    """The job of a spec as of a commit, branch or tag, with a patch on it. It can be used inside only: its pipelines are imported
    from a temporary worktree. trust, allow_env: as for `load`; a commit is trusted as the working tree is.

    Raises UsageError when there is no such commit or the spec is not in it, SpecError with every mistake.
    """
    from swath.spec.loading.load import parse

    if is_stream(str(path)):
        raise UsageError(
            "a spec of a commit cannot come from standard input", remedy="give the path that it has in the commit"
        )
    file = Path(path).absolute()
    working = project_of(file.parent, trust=trust, allow_env=allow_env)
    with _worktree(file, ref, patch, working.state) as tree:
        text = tree.spec(file)
        project = tree.project(file, working)
        with _registry_in(tree, project) as registry:
            loaded = parse(
                text, str(path), override_texts(set), cluster, project, find=registry.spec_class, names=registry.names
            )
            yield Job(loaded, project, registry, _commit(tree, ref, patch, file, loaded))


@contextlib.contextmanager
def load_run(row: RunRow, state: Path, *, trust: bool = True, allow_env: Collection[str] = ()) -> Iterator[Job]:
    """The job that resumes an earlier run: its spec from the text in the journal, with the pipelines of the commit that the run
    used, or as they are now. It can be used inside only. state: the state folder that has the run. trust, allow_env: as for `load`.

    Raises SpecError when the spec is not valid any more, UsageError when its commit is gone.
    """
    from swath.project.uncommitted import DIFF_FILE

    working = replace(project_of(Path(row.root), trust=trust, allow_env=allow_env), state=state)
    if not row.git.get("ref"):
        yield resumed(row, working, Registry.of(working))
        return
    file = Path(row.root) / row.git["spec"]
    patch = state / "runs" / row.id / DIFF_FILE if row.git["dirty"] else None
    with _worktree(file, row.git["commit"], patch, state) as tree:
        project = tree.project(file, working)
        with _registry_in(tree, project) as registry:
            job = resumed(row, project, registry)
            yield replace(job, commit=_commit(tree, row.git["ref"], patch, file, job.loaded))


def resumed(row: RunRow, project: Project, registry: Registry) -> Job:
    """The job that resumes a run, with these pipelines. Raises SpecError when its spec is not valid any more."""
    from swath.spec.loading.load import parse

    loaded = parse(
        row.spec_text, row.spec_path, row.overrides, None, project, find=registry.spec_class, names=registry.names
    )
    return Job(loaded, project, registry, earlier=row)


def project_of(folder: Path, *, trust: bool = False, allow_env: Collection[str] = ()) -> Project:
    """The project of a folder. Where no swath.yaml marks one, the state folder is that of the current folder's project.

    trust, allow_env: see Project.find.
    """
    found = Project.find(folder, trust=trust, allow_env=allow_env)
    if found.file is not None:
        return found
    return replace(found, state=Project.find(Path.cwd(), trust=trust, allow_env=allow_env).state)


def override_texts(set: Overrides) -> tuple[str, ...]:  # noqa: A002
    """Values as `key=value` texts of YAML. Raises UsageError for a value that YAML cannot hold."""
    if isinstance(set, str):
        return (set,)
    if not isinstance(set, Mapping):
        return tuple(set)
    return tuple(f"{key}={_yaml(key, value)}" for key, value in set.items())


def _yaml(key: str, value: Any) -> str:
    """A value as JSON, which is YAML too; a plain text that YAML reads as that text as it is."""
    if isinstance(value, str | PurePath):
        text = str(value)
        return text if _reads_as_itself(text) else json.dumps(text, ensure_ascii=False)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_path)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"set: the value of {key!r} cannot stand in a spec: {error}",
            remedy="give texts, numbers, booleans, None, lists and dicts of them",
        ) from None


def _path(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _reads_as_itself(text: str) -> bool:
    from swath.spec.yaml.override import read

    found, mistakes = read([f"key={text}"])
    return not mistakes and not found[0].value.mistakes and found[0].value.data == text


@contextlib.contextmanager
def _worktree(file: Path, ref: str, patch: Path | None, state: Path) -> Iterator[Worktree]:
    from swath.project.git import Repository, RepositoryRefused
    from swath.project.worktree import checkout

    try:
        repository = Repository.find(file.parent)
    except RepositoryRefused as error:
        raise UsageError(
            f"git does not read the repository of {file}: {error}", remedy="do what git says, or leave --ref out"
        ) from error
    if repository is None:
        raise UsageError(
            f"{file} is in no git repository, so there is no commit to take it from",
            remedy="leave --ref out, or run `git init` and commit the project",
        )
    with checkout(repository, repository.commit(ref), state, patch) as tree:
        yield tree


@contextlib.contextmanager
def _registry_in(tree: Worktree, project: Project) -> Iterator[Registry]:
    with tree.imported():
        root = tree.moved(project.root) or tree.folder
        untrusted = None if project.trusted else project.root
        yield Registry.discover(project.pipelines, root, tree.origins(project.pipelines), untrusted)


def _commit(tree: Worktree, ref: str, patch: Path | None, file: Path, loaded: LoadedSpec) -> CodeSource:
    from swath.project.provenance import CodeSource
    from swath.project.uncommitted import UncommittedChanges

    diff = patch.read_bytes().decode("utf-8", "surrogateescape") if patch is not None else ""
    return CodeSource.of_commit(tree.commit, ref, UncommittedChanges(diff, "whole" if diff else ""), file, loaded.root)
