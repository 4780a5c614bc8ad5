"""The matrix of a spec: one spec for many variants, the cross product of the values of fields, as in GitHub Actions."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.errors import Mistake
from swath.spec.base import Spec
from swath.spec.fields.output import Destination
from swath.spec.matrix import variant_names
from swath.spec.matrix.output_paths import is_output_path
from swath.spec.validation import model_paths
from swath.spec.yaml import override
from swath.spec.yaml.document import Document, Mark, Path
from swath.spec.yaml.override import Expand, Override

KEY = "matrix"
INCLUDE, EXCLUDE = "include", "exclude"
PLACEHOLDER = "{variant}"
"""Stands for the name of a variant in the paths of outputs."""
MAX_VARIANTS = 256
"""Largest number of variants of a spec."""

Combination = dict[str, Path]
"""Dotted field -> path of its value in the document."""


@dataclass(frozen=True)
class DraftVariant:
    """A variant before validation."""

    name: str
    values: dict[str, Any]
    """Dotted field -> its value as it was written."""
    document: Document
    """The spec without its matrix, with these values."""


@dataclass(frozen=True)
class Matrix:
    """The combinations of values of a matrix."""

    document: Document
    """The spec, with its matrix."""
    combinations: tuple[Combination, ...]
    """One for each variant: the first field changes slowest, those of `include` are last. If the matrix has mistakes: some that
    have every value at least once, so that the values are validated too."""
    mistakes: tuple[Mistake, ...]

    @property
    def base(self) -> Document:
        """The spec without its matrix."""
        return replace(self.document, data={key: value for key, value in self.document.data.items() if key != KEY})

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that the matrix varies."""
        axes = self.document.data[KEY]
        axes = axes if isinstance(axes, dict) else {}
        entries = axes.get(INCLUDE) or []
        added = [name for entry in entries if isinstance(entry, dict) for name in entry]
        return tuple(dict.fromkeys([*(name for name in axes if name not in (INCLUDE, EXCLUDE)), *added]))

    def drafts(self, kind: type[Spec] | None, expand: Expand) -> list[DraftVariant]:
        """A document for each variant. In the paths of outputs `{variant}` is the variant's name; an output without it that the matrix
        does not vary gets a folder with that name."""
        values = [{name: self.document.at(path) for name, path in one.items()} for one in self.combinations]
        moved: dict[tuple[str, Path], Override] = {}
        found = []
        for name, one, written in zip(variant_names.names(values), self.combinations, values, strict=True):
            for place in one.items():
                moved.setdefault(place, self._moved(*place))
            changes = sorted((moved[place] for place in one.items()), key=lambda change: len(change.keys))
            document = override.apply(self.base, changes, expand)
            outputs = [
                _variant_folder(document, key, name, expand, varied=bool({key, f"{key}.to"} & set(one)))
                for key in _outputs(kind)
            ]
            outputs += [_variant_path(document, key, name) for key in _output_paths(kind)]
            found.append(DraftVariant(name, written, override.apply(document, [o for o in outputs if o], expand)))
        return found

    def ineffective(self, changes: Sequence[Override]) -> Iterator[Mistake]:
        """Mistakes for overrides without effect, because every variant has its own value of the field."""
        for change in changes:
            for name in self.fields:
                keys = tuple(name.split("."))
                if change.keys[: len(keys)] == keys and all(name in one for one in self.combinations):
                    message = f"the matrix gives every variant its own {name}; set matrix.{name} instead"
                    yield change.mark.mistake(change.keys, message)

    def _moved(self, name: str, path: Path) -> Override:
        """The value at a path of the matrix as an override of its field. Its mistakes have the path in the matrix."""
        keys, size = tuple(name.split(".")), len(path)
        marks = {p[size:]: _moved_mark(m, path, keys) for p, m in self.document.marks.items() if p[:size] == path}
        broken = frozenset(p[size:] for p in self.document.broken if p[:size] == path)
        data = copy.deepcopy(self.document.at(path))
        return Override(keys, Document("", self.document.file, data, marks, broken=broken))


def matrix_overrides(changes: Sequence[Override], document: Document) -> list[Override]:
    """Overrides of the matrix, such as `matrix.output.preview=[true]`, with the dotted field as one key."""
    axes = document.data.get(KEY)
    known = set(axes) if isinstance(axes, dict) else set()
    found = []
    for change in changes:
        head, *rest = change.keys
        if head == KEY and rest:
            entry = rest[:2] if rest[0] in (INCLUDE, EXCLUDE) else []
            name = rest[len(entry) :]
            index = [name.pop()] if not entry and name[-1].isdecimal() and ".".join(name[:-1]) in known else []
            change = replace(change, keys=tuple(key for key in (KEY, *entry, ".".join(name), *index) if key))
            known.add(change.keys[1])
        found.append(change)
    return found


@dataclass(frozen=True, slots=True)
class _MovedMark(Mark):
    """The position of a value in a matrix, for a document in which the value is that of its field."""

    written: Path = ()
    """Path of the value in the matrix."""
    field: tuple[str, ...] = ()
    """Path of the field."""

    def mistake(self, path: Path, message: str, *, key: bool = False) -> Mistake:
        if tuple(map(str, path[: len(self.field)])) == self.field:
            path = (*self.written, *path[len(self.field) :])
        return Mark.mistake(self, path, message, key=key)


def _moved_mark(mark: Mark, written: Path, field: tuple[str, ...]) -> _MovedMark:
    return _MovedMark(mark.file, mark.line, mark.column, mark.key_line, mark.key_column, written, field)


def _outputs(kind: type[Spec] | None) -> list[str]:
    """Fields of a Spec class that are outputs."""
    empty = Document("", "", {}, {})
    names = kind.model_fields if kind is not None else ()
    return [
        name
        for name in names
        if kind and any(issubclass(m, Destination) for m in model_paths.models_at(kind, empty, (name,)))
    ]


def _output_paths(kind: type[Spec] | None) -> list[str]:
    """Fields of a Spec class that are paths which are written."""
    return [name for name in kind.model_fields if is_output_path(kind, name)] if kind is not None else []


def _variant_path(document: Document, key: str, name: str) -> Override | None:
    """An override that puts a variant's name into a path. None if it has no place for it."""
    value = document.data.get(key)
    if not isinstance(value, str) or PLACEHOLDER not in value:
        return None
    return Override((key,), _text(document, (key,), value.replace(PLACEHOLDER, name)))


def _text(document: Document, path: Path, text: str) -> Document:
    return Document("", document.file, text, {(): document.marks[document.locate(path)]})


def _variant_folder(document: Document, key: str, name: str, expand: Expand, *, varied: bool) -> Override | None:
    """An override that puts a variant's name into the folder of an output, or appends it unless the matrix varies the folder. None if
    nothing changes, or the document has no folder for it."""
    if key not in document.data:
        return None
    value = document.at((key,))
    full = expand(document, (key,)) if isinstance(value, str) else value
    to = full.get("to") if isinstance(full, dict) else None
    if not (isinstance(to, str) and to.strip("/")):
        return None  # validation reports it
    if PLACEHOLDER in to:
        return Override((key, "to"), _text(document, (key, "to"), to.replace(PLACEHOLDER, name)))
    return None if varied else Override((key, "to"), _text(document, (key, "to"), f"{to.rstrip('/')}/{name}"))
