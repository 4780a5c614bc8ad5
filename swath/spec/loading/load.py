"""Loading a spec: from its file or text to the validated Spec of its pipeline, or to all of its mistakes at once."""

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
from swath.spec.locations import spec_folder, spec_stem
from swath.spec.matrix import matrix, search_space
from swath.spec.matrix.reader import read_matrix
from swath.spec.matrix.variants import Variant, places, validate_variants
from swath.spec.project_file import ProjectFolder
from swath.spec.spec_model import SpecModel
from swath.spec.validation import model_paths, reachability, untrusted
from swath.spec.validation.validate import ValidationResult, sorted_mistakes, validate
from swath.spec.yaml import document as documents
from swath.spec.yaml import environment, override
from swath.spec.yaml.document import Document
from swath.spec.yaml.override import Override

FindSpecClass = Callable[[str], type[Spec]]
"""Returns the Spec class of a pipeline by name. Raises PipelineError if there is no such pipeline."""


class ProjectSettings(Protocol):
    """The project of a spec: a swath.project.project.Project, or a swath.spec.project_file.ProjectFolder."""

    @property
    def root(self) -> Path: ...
    @property
    def clusters(self) -> Mapping[str, Any]: ...
    @property
    def secrets(self) -> Mapping[str, str]: ...
    @property
    def results(self) -> str | None: ...
    @property
    def trusted(self) -> bool: ...
    def environment(self, env: Mapping[str, str] | None) -> Mapping[str, str] | None: ...


@dataclass(frozen=True)
class LoadedSpec:
    """A validated spec, and its source."""

    spec: Spec
    """With absolute paths, areas that are read, and the cluster in place of its name. With a matrix: that of the first variant;
    name, cluster and on_error are the same in all."""
    pipeline: str
    """Name of the pipeline."""
    file: str
    """The spec's path as the user wrote it."""
    text: str
    """The text, with unresolved references to the environment."""
    overrides: tuple[str, ...]
    """Every `key=value` that was applied to the text. With these and the text the spec can be parsed again."""
    root: Path
    """Folder to which relative paths are relative."""
    notes: tuple[str, ...] = ()
    """Repairs and assumptions, for the log and the report."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values from the environment, and their references. No log, message or report may show the values (see
    swath.spec.secrets.scrub)."""
    variants: tuple[Variant, ...] = ()
    """The variants of a matrix; empty without a matrix."""

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The specs of all variants; without a matrix the one spec."""
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
    overrides: `key=value` each, applied to the text.
    cluster: the cluster, as in `cluster:` of a spec; overrides text and overrides.
    project: what relative paths and cluster names refer to; the project of `file` when not given.
    find: returns the Spec class of a pipeline. names: known pipelines, for suggestions in messages.
    env: the environment; this process's own when not given.

    Raises SpecError with every mistake, sorted by file, line and column.
    """
    settings = project if project is not None else ProjectFolder.find(spec_folder(file), env)
    env = settings.environment(env)
    texts = _with_cluster(overrides, cluster)
    changes, mistakes = override.read(texts)
    document = override.apply(documents.parse(text, file), [each for each in changes if each.keys == ("pipeline",)])
    if not isinstance(document.data, dict):
        what = "the spec is empty" if document.data is None else "a spec is a mapping of keys to values"
        mistakes += [*document.mistakes, document.marks[()].mistake((), what)]
        raise SpecError(list(sorted_mistakes(mistakes, file)))
    kind, wrong = _kind(document, find, names, env)
    rest = matrix.matrix_overrides([each for each in changes if each.keys != ("pipeline",)], document)
    validated = _validated(document, rest, kind, ValidationContext(settings.root, settings.clusters), env)
    mistakes += [*wrong, *validated.mistakes]
    for spec in validated.specs:
        mistakes += reachability.mistakes(spec, validated.document, settings.results)
        if not settings.trusted:
            mistakes += untrusted.mistakes(spec, validated.document, settings.root, settings.results)
    if mistakes or not validated.specs:
        raise SpecError(list(sorted_mistakes(mistakes, file)))
    notes = [f"{each.name}: {note}" for each in validated.variants for note in _notes(each.spec, ())]
    notes = notes or _notes(validated.specs[0], ())
    name = {} if validated.specs[0].name else {"name": re.sub(r"[^A-Za-z0-9._-]+", "-", spec_stem(file))[:80]}
    specs = [spec.model_copy(update=name) for spec in validated.specs]
    variants = tuple(replace(each, spec=spec) for each, spec in zip(validated.variants, specs, strict=False))
    notifies = [spec.notify for spec in specs]
    [text, *overridden], plain = notify.mask_addresses([text, *texts], notifies, validated.secrets)
    if plain:
        message = f"write the address {plain[0]} as ${{env:NAME}}: as it is written now it could not be masked"
        mark = validated.document.marks[validated.document.locate(("notify",))]
        raise SpecError([mark.mistake(("notify",), message)])
    secrets = {**validated.secrets, **settings.secrets}
    return LoadedSpec(
        specs[0], specs[0].pipeline, file, text, tuple(overridden), settings.root, tuple(notes), secrets, variants
    )


@dataclass(frozen=True)
class _Validated:
    """What the validation of a document with its overrides gave."""

    document: Document
    """With the overrides."""
    specs: tuple[Spec, ...]
    """One, or one for each variant; empty if there are mistakes."""
    variants: tuple[Variant, ...]
    """Empty without a matrix."""
    mistakes: Sequence[Mistake]
    secrets: Mapping[str, str]


def _validated(
    document: Document,
    changes: Sequence[Override],
    kind: type[Spec] | None,
    context: ValidationContext,
    env: Mapping[str, str] | None,
) -> _Validated:
    """Apply overrides to a document and validate it, or each variant of its matrix. kind: None for an unknown pipeline."""

    def expand(document: Document, path: documents.Path) -> Any:
        return model_paths.mapping_at(kind or Spec, document, path, SimpleNamespace(context=context))

    def check(document: Document) -> ValidationResult[Spec]:
        return validate(kind or Spec, document if kind else _shared(document), context, env)

    merged = override.apply(document, changes, expand)
    if matrix.KEY in merged.data:
        several = read_matrix(merged, kind)
        found = validate_variants(several, several.drafts(kind, expand), check)
        mistakes = [*found.mistakes, *several.ineffective(changes)]
        return _Validated(merged, tuple(each.spec for each in found.found), found.found, mistakes, found.secrets)
    one = check(merged)
    mistakes = list(one.mistakes)
    if search_space.KEY in merged.data:
        mark = merged.marks[merged.locate((search_space.KEY,))]
        mistakes.append(mark.mistake((search_space.KEY,), "needs a matrix, with the fields that it is to vary"))
    for path, place in places(one.value) if one.value is not None else ():
        if matrix.PLACEHOLDER in place:
            mark = merged.marks[merged.locate(path)]
            mistakes.append(
                mark.mistake(path, f"{matrix.PLACEHOLDER} is the name of a variant, and there is no matrix")
            )
    return _Validated(merged, () if one.value is None else (one.value,), (), mistakes, one.secrets)


def _with_cluster(overrides: Sequence[str], cluster: str | None) -> tuple[str, ...]:
    """The overrides, with the cluster in place of other overrides of it."""
    if cluster is None:
        return tuple(overrides)
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:/@-]*", cluster)
    others = [text for text in overrides if text.partition("=")[0].strip() != "cluster"]
    return (f"cluster={cluster if plain else json.dumps(cluster)}", *others)


def _kind(
    document: Document, find: FindSpecClass, names: Sequence[str], env: Mapping[str, str] | None
) -> tuple[type[Spec] | None, list[Mistake]]:
    """The Spec class of the document's pipeline; for a wrong name that of the most similar one, or None, and the mistake."""
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
            return None, [mark.mistake(path, f"there is no pipeline with the name in {origin}")]
        similar = spelling.nearest(name, names) if name not in names else ""
        message = str(error).replace("\n  ", "; ")
        if similar and "did you mean" not in message:
            message += f" (did you mean {similar!r}?)"
        return _likeliest(similar, find), [mark.mistake(path, message)]


def _likeliest(name: str, find: FindSpecClass) -> type[Spec] | None:
    """The class with which further mistakes are found if the pipeline's name is wrong."""
    try:
        return find(name) if name else None
    except PipelineError:
        return None


def _shared(document: Document) -> Document:
    """The fields that every spec has: without a pipeline only these can be validated."""
    return replace(document, data={key: value for key, value in document.data.items() if key in Spec.model_fields})


def _notes(value: object, path: documents.Path) -> list[str]:
    """The notes of all areas in a spec, each with its field."""
    if isinstance(value, Area):
        return [f"{documents.dotted(path)}: {note}" for note in value.notes]
    if isinstance(value, SpecModel):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
        return [note for name, part in parts for note in _notes(part, (*path, name))]
    if isinstance(value, (list, tuple)):
        return [note for index, part in enumerate(value) for note in _notes(part, (*path, index))]
    return []
