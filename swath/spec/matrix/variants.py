"""The variants of a matrix: each is validated as a spec, common mistakes are reported once, outputs must differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swath.errors import Mistake
from swath.spec.base import Spec
from swath.spec.fields.output import Destination
from swath.spec.matrix.matrix import KEY, DraftVariant, Matrix
from swath.spec.matrix.output_paths import is_output_path
from swath.spec.secrets import scrub
from swath.spec.validation.validate import ValidationResult
from swath.spec.yaml.document import Document, Path

Check = Callable[[Document], ValidationResult[Spec]]
"""Validates a document as the Spec of its pipeline."""


@dataclass(frozen=True)
class Variant:
    """One variant of a matrix."""

    name: str
    """Name of its step in the run's graph and of its folder, such as `area=a,model=x`."""
    values: dict[str, Any]
    """Dotted field -> its value in this variant, as it was written."""
    spec: Spec


@dataclass(frozen=True)
class ValidatedVariants:
    """The variants of a matrix, or its mistakes."""

    found: tuple[Variant, ...]
    """Empty if there are mistakes."""
    mistakes: tuple[Mistake, ...]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def validate_variants(matrix: Matrix, drafts: Sequence[DraftVariant], check: Check) -> ValidatedVariants:
    """Validate the drafts of a matrix."""
    mistakes = list(matrix.mistakes)
    if mistakes:
        documents = [matrix.base, *(draft.document for draft in drafts)]
        return ValidatedVariants(
            (), (*mistakes, *_known(matrix, (each for one in documents for each in check(one).mistakes)))
        )
    checked = [check(draft.document) for draft in drafts]
    secrets = {secret: name for one in checked for secret, name in one.secrets.items()}
    mistakes += _merged(drafts, checked)
    specs = [one.value for one in checked]
    if not mistakes:
        found = tuple(
            Variant(d.name, d.values, spec) for d, spec in zip(drafts, specs, strict=True) if spec is not None
        )
        mistakes = [*_equal(drafts, found), *_same_place(drafts, found, secrets)]
    return ValidatedVariants(() if mistakes else found, tuple(mistakes), secrets)


def outputs_of(spec: Spec) -> list[tuple[str, Destination]]:
    """The outputs that a spec names, with their fields."""
    return [(name, value) for name, value in spec.parameters().items() if isinstance(value, Destination)]


def _known(matrix: Matrix, mistakes: Iterable[Mistake]) -> Iterator[Mistake]:
    """The mistakes that mistakes of the matrix did not cause: a field that it varies may only seem to be missing."""
    named = [f"{name}." for name in matrix.fields]
    for mistake in mistakes:
        place = f"{mistake.field}."
        varied = mistake.field and any(place.startswith(name) or name.startswith(place) for name in named)
        if not varied or mistake in matrix.document.mistakes:
            yield mistake


def _merged(drafts: Sequence[DraftVariant], checked: Sequence[ValidationResult[Spec]]) -> Iterator[Mistake]:
    """Each mistake once. One of some variants only names them, unless it is in the matrix itself."""
    having: dict[Mistake, list[str]] = {}
    for draft, one in zip(drafts, checked, strict=True):
        for mistake in one.mistakes:
            having.setdefault(mistake, []).append(draft.name)
    for mistake, names in having.items():
        if len(names) == len(drafts) or mistake.field.startswith(f"{KEY}."):
            yield mistake
        else:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = f"{mistake.message} (in the variant {names[0]}{more})"
            yield Mistake(mistake.file, mistake.line, mistake.column, mistake.field, message)


def _equal(drafts: Sequence[DraftVariant], found: Sequence[Variant]) -> Iterator[Mistake]:
    """Mistakes for variants that differ in writing only."""
    seen: dict[str, str] = {}
    for draft, variant in zip(drafts, found, strict=True):
        without = {name for name, _ in outputs_of(variant.spec)}
        request = variant.spec.model_dump_json(exclude=without)
        places = [output.model_dump_json(exclude={"to"}) for _, output in outputs_of(variant.spec)]
        first = seen.setdefault("\n".join([request, *places]), variant.name)
        if first != variant.name and not any(_placed(variant, name) for name in without):
            yield _mistake_at(draft, variant, f"{first} and {variant.name} ask for the same; leave one out")


def _placed(variant: Variant, name: str) -> bool:
    """Whether the matrix varies the folder of an output."""
    return any(field in (name, f"{name}.to") for field in variant.values)


def _same_place(
    drafts: Sequence[DraftVariant], found: Sequence[Variant], secrets: Mapping[str, str]
) -> Iterator[Mistake]:
    """Mistakes for variants that would write to the same place."""
    seen: dict[str, str] = {}
    for draft, variant in zip(drafts, found, strict=True):
        for path, place in places(variant.spec):
            first = seen.setdefault(place.rstrip("/"), variant.name)
            if first != variant.name:
                shown = scrub(place, secrets)
                remedy = (
                    f"leave {'.'.join(map(str, path))} out of the matrix, and each variant gets a folder of its own"
                    if len(path) > 1
                    else f"give each variant its own {path[0]}, by matrix.include"
                )
                yield _mistake_at(
                    draft, variant, f"{first} and {variant.name} would both write to {shown}; {remedy}", path
                )


def places(spec: Spec) -> Iterator[tuple[Path, str]]:
    """The paths that a spec writes, and their fields."""
    for name, output in outputs_of(spec):
        yield (name, "to"), output.to
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if is_output_path(type(spec), name) and isinstance(value, str):
            yield (name,), value


def _mistake_at(draft: DraftVariant, variant: Variant, message: str, path: Path = ()) -> Mistake:
    """A mistake at a place of a variant's document, or at the last of its values."""
    document = draft.document
    if not path or (*path,) not in document.marks:
        path = document.locate(tuple(list(variant.values)[-1].split(".")))
    return document.marks[path].mistake(path, message)
