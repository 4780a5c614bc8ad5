"""A spec's file or text -> the typed Spec of the pipeline that it names, or every mistake at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from swath.errors import Mistake, PipelineError, SpecError
from swath.spec import notify, spelling
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.paths import ValidationContext
from swath.spec.matrix import matrix, search_space
from swath.spec.matrix.variants import Variant, validate_variants
from swath.spec.project_file import ProjectFolder
from swath.spec.spec_model import SpecModel
from swath.spec.validation import model_paths, reachability
from swath.spec.validation.validate import ValidationResult, sorted_mistakes, validate
from swath.spec.yaml import document as documents
from swath.spec.yaml import environment, override
from swath.spec.yaml.document import Document

FindSpecClass = Callable[[str], type[Spec]]
"""The Spec class of a pipeline's name. Raises PipelineError when there is no such pipeline."""


class ProjectSettings(Protocol):
    """What a spec's project gives: swath.project.project.Project, or swath.spec.project_file.ProjectFolder."""

    @property
    def root(self) -> Path: ...
    @property
    def clusters(self) -> Mapping[str, Any]: ...
    @property
    def secrets(self) -> Mapping[str, str]: ...
    @property
    def results(self) -> str | None: ...


@dataclass(frozen=True)
class LoadedSpec:
    """A spec that has no mistakes, and where it came from."""

    spec: Spec
    """Typed; its paths are absolute, its areas are read, its named cluster is put in. Of a matrix the first variant's: name,
    cluster and on_error are those of the run, and the same in all."""
    pipeline: str
    """Name of the pipeline."""
    file: str
    """The spec's path as the user wrote it."""
    text: str
    """As it was read; references to the environment are not resolved in it."""
    overrides: tuple[str, ...]
    """Every `key=value` that was put over the text; with it and the text the spec can be parsed again."""
    root: Path
    """What relative paths are relative to."""
    notes: tuple[str, ...] = ()
    """What was repaired or guessed, for the log and the report."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the environment gave, and the references that asked for it; no log, message or report may show it (see
    swath.spec.yaml.environment.scrub)."""
    variants: tuple[Variant, ...] = ()
    """Of a spec with a matrix; else empty."""

    @property
    def specs(self) -> tuple[Spec, ...]:
        """Of every variant; without a matrix the one."""
        return tuple(variant.spec for variant in self.variants) or (self.spec,)


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    cluster: str | None = None,
    project: ProjectSettings | None = None,
    *,
    find: FindSpecClass,
    names: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> LoadedSpec:
    """Read a spec's file. Arguments as for `parse`. Raises SpecError with every mistake."""
    return parse(documents.read(str(path)), str(path), overrides, cluster, project, find=find, names=names, env=env)


def parse(
    text: str,
    file: str,
    overrides: Sequence[str] = (),
    cluster: str | None = None,
    project: ProjectSettings | None = None,
    *,
    find: FindSpecClass,
    names: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> LoadedSpec:
    """Read a spec's text.

    file: its path, for messages and, without a project, to find the project.
    overrides: `key=value` each, put over the text.
    cluster: where to run, instead of what text and overrides say: as `cluster:` in a spec.
    project: what relative paths and cluster names refer to; the one around `file` when not given.
    find: gives the Spec class of a pipeline's name. names: pipelines to choose from in a "did you mean".
    env: the environment; this process's own when not given.

    Raises SpecError with every mistake, sorted by place.
    """
    home = project if project is not None else ProjectFolder.find(Path(file), env)
    context = ValidationContext(home.root, home.clusters)
    info = SimpleNamespace(context=context)
    texts = _with_cluster(overrides, cluster)
    original = documents.parse(text, file)
    changes, unread = override.read(texts)
    named = override.apply(original, [change for change in changes if change.keys == ("pipeline",)])
    if not isinstance(named.data, dict):
        what = "the spec is empty" if named.data is None else "a spec is a mapping of keys to values"
        raise SpecError(list(sorted_mistakes([*unread, *named.mistakes, named.marks[()].mistake((), what)], file)))
    kind, mistakes = _kind(named, find, names, env)
    rest = [change for change in changes if change.keys != ("pipeline",)]

    def expand(document: Document, path: documents.Path) -> Any:
        return model_paths.mapping_at(kind or Spec, document, path, info)

    def check(document: Document) -> ValidationResult[Spec]:
        return validate(kind or Spec, document if kind else _shared(document), context, env)

    rest = matrix.matrix_overrides(rest, named)
    merged = override.apply(named, rest, expand)
    varied: tuple[Variant, ...] = ()
    if matrix.KEY in merged.data:
        several = matrix.read(merged, kind)
        found = validate_variants(several, several.drafts(kind, expand), check)
        mistakes += [*found.mistakes, *several.ineffective(rest)]
        varied, secrets = found.found, found.secrets
        spec = varied[0].spec if varied else None
    else:
        if search_space.KEY in merged.data:
            mark = merged.marks[merged.locate((search_space.KEY,))]
            mistakes.append(mark.mistake((search_space.KEY,), "needs a matrix, with the fields that it is to vary"))
        one = check(merged)
        mistakes += one.mistakes
        spec, secrets = one.value, one.secrets
    for each in [variant.spec for variant in varied] or ([spec] if spec else []):
        mistakes += reachability.mistakes(each, merged, home.results)
    if unread or mistakes or spec is None:
        raise SpecError(list(sorted_mistakes([*unread, *mistakes], file)))
    notes = [f"{one.name}: {note}" for one in varied for note in _notes(one.spec, ())] or _notes(spec, ())
    name = {} if spec.name else {"name": re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem)[:80]}
    varied = tuple(replace(one, spec=one.spec.model_copy(update=name)) for one in varied)
    spec = varied[0].spec if varied else spec.model_copy(update=name)
    notifies = [one.spec.notify for one in varied] or [spec.notify]
    [text, *overridden], unfound = notify.mask_addresses([text, *texts], notifies, secrets)
    if unfound:
        message = f"write the address {unfound[0]} as ${{env:NAME}}: as it is written now it could not be kept a secret"
        raise SpecError([merged.marks[merged.locate(("notify",))].mistake(("notify",), message)])
    secrets = {**secrets, **home.secrets}
    return LoadedSpec(spec, spec.pipeline, file, text, tuple(overridden), home.root, tuple(notes), secrets, varied)


def _with_cluster(overrides: Sequence[str], cluster: str | None) -> tuple[str, ...]:
    """The overrides, with the cluster in place of any other."""
    if cluster is None:
        return tuple(overrides)
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:/@-]*", cluster)
    others = [text for text in overrides if text.partition("=")[0].strip() != "cluster"]
    return (f"cluster={cluster if plain else json.dumps(cluster)}", *others)


def _kind(
    document: Document, find: FindSpecClass, names: Sequence[str], env: Mapping[str, str] | None
) -> tuple[type[Spec] | None, list[Mistake]]:
    """The Spec class of the pipeline that the document names; else the likeliest one or None, and the mistake."""
    path = ("pipeline",)
    if path not in document.marks:
        known = f": {', '.join(names)}" if names else ""
        return None, [document.marks[()].mistake(path, f"missing; name a pipeline{known}")]
    resolved = environment.resolve(replace(document, data={"pipeline": document.data["pipeline"]}, mistakes=()), env)
    name, mark = resolved.document.data["pipeline"], document.marks[path]
    if not isinstance(name, str) or path in resolved.document.broken:
        return None, []
    try:
        return find(name), []
    except PipelineError as error:
        if origin := resolved.origin(path):
            return None, [mark.mistake(path, f"there is no pipeline of the name that {origin} stands for")]
        guessed = spelling.nearest(name, names) if name not in names else ""
        message = str(error).replace("\n  ", "; ")
        if guessed and "did you mean" not in message:
            message += f" (did you mean {guessed!r}?)"
        return _likeliest(guessed, find), [mark.mistake(path, message)]


def _likeliest(name: str, find: FindSpecClass) -> type[Spec] | None:
    """The class to find further mistakes with, once the pipeline's name is wrong."""
    try:
        return find(name) if name else None
    except PipelineError:
        return None


def _shared(document: Document) -> Document:
    """Without a pipeline only what every spec has can be checked: leave out the rest."""
    return replace(document, data={key: value for key, value in document.data.items() if key in Spec.model_fields})


def _notes(value: object, path: documents.Path) -> list[str]:
    """The notes of every area in a spec, with the field that they are about."""
    if isinstance(value, Area):
        return [f"{documents.dotted(path)}: {note}" for note in value.notes]
    if isinstance(value, SpecModel):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
        return [note for name, part in parts for note in _notes(part, (*path, name))]
    if isinstance(value, (list, tuple)):
        return [note for index, part in enumerate(value) for note in _notes(part, (*path, index))]
    return []
