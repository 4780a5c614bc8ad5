"""`matrix:` in a spec: one spec for many variants, the cross product of fields' values, in the manner of GitHub Actions."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.errors import Mistake
from swath.spec import spelling
from swath.spec.base import Spec
from swath.spec.fields.output import Destination
from swath.spec.matrix import variant_names
from swath.spec.matrix.search_space import SearchSpace, with_ranges
from swath.spec.validation import model_paths
from swath.spec.yaml import override
from swath.spec.yaml.document import Document, Mark, Path
from swath.spec.yaml.override import Expand, Override

KEY = "matrix"
INCLUDE, EXCLUDE = "include", "exclude"
MAX_VARIANTS = 256
"""Variants of one spec at most."""

Combination = dict[str, Path]
"""Dotted field -> where in the document its value stands."""


@dataclass(frozen=True)
class DraftVariant:
    """A variant that is not validated yet."""

    name: str
    values: dict[str, Any]
    """Dotted field -> value as it was written."""
    document: Document
    """The spec without its matrix, with these values in it."""


@dataclass(frozen=True)
class Matrix:
    """What a spec's matrix says."""

    document: Document
    """With the matrix still in it."""
    combinations: tuple[Combination, ...]
    """Of the variants, in order: the first field changes slowest, what `include` adds comes last. When there are mistakes,
    some that have every value once, so that these are looked at too."""
    mistakes: tuple[Mistake, ...]

    @property
    def base(self) -> Document:
        """The spec without its matrix."""
        return replace(self.document, data={key: value for key, value in self.document.data.items() if key != KEY})

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that the matrix names."""
        said = self.document.data[KEY]
        said = said if isinstance(said, dict) else {}
        entries = said.get(INCLUDE) or []
        added = [name for entry in entries if isinstance(entry, dict) for name in entry]
        return tuple(dict.fromkeys([*(name for name in said if name not in (INCLUDE, EXCLUDE)), *added]))

    def drafts(self, kind: type[Spec] | None, expand: Expand) -> list[DraftVariant]:
        """A document for each variant. An output that the variant does not place itself goes to a folder of the variant's name."""
        values = [{name: self.document.at(path) for name, path in one.items()} for one in self.combinations]
        moved: dict[tuple[str, Path], Override] = {}
        found = []
        for name, one, said in zip(variant_names.names(values), self.combinations, values, strict=True):
            for place in one.items():
                moved.setdefault(place, self._moved(*place))
            changes = sorted((moved[place] for place in one.items()), key=lambda change: len(change.keys))
            document = override.apply(self.base, changes, expand)
            places = [
                _below(document, key, name, expand) for key in _outputs(kind) if not {key, f"{key}.to"} & set(one)
            ]
            found.append(DraftVariant(name, said, override.apply(document, [p for p in places if p], expand)))
        return found

    def ineffective(self, changes: Sequence[Override]) -> Iterator[Mistake]:
        """Overrides that would change nothing, because every variant has its own value there."""
        for change in changes:
            for name in self.fields:
                keys = tuple(name.split("."))
                if change.keys[: len(keys)] == keys and all(name in one for one in self.combinations):
                    message = f"the matrix gives every variant its own {name}; set matrix.{name} instead"
                    yield change.mark.mistake(change.keys, message)

    def _moved(self, name: str, path: Path) -> Override:
        """The value at a path of the matrix, to be put where its field is; its mistakes name the matrix."""
        keys, size = tuple(name.split(".")), len(path)
        marks = {p[size:]: _moved_mark(m, path, keys) for p, m in self.document.marks.items() if p[:size] == path}
        broken = frozenset(p[size:] for p in self.document.broken if p[:size] == path)
        data = copy.deepcopy(self.document.at(path))
        return Override(keys, Document("", self.document.file, data, marks, broken=broken))


def read(document: Document, kind: type[Spec] | None) -> Matrix:
    """The matrix of a document that has one. `kind` is None when the pipeline is not known."""
    reader = _Reader(document, kind)
    combinations = tuple(reader.combinations())
    return Matrix(reader.document, combinations, tuple(reader.mistakes))


def matrix_overrides(changes: Sequence[Override], document: Document) -> list[Override]:
    """Overrides such as `matrix.output.preview=[true]`, with the dotted field as the one key that it is in a matrix."""
    said = document.data.get(KEY)
    known = set(said) if isinstance(said, dict) else set()
    found = []
    for change in changes:
        head, *rest = change.keys
        if head == KEY and rest:
            lead = rest[:2] if rest[0] in (INCLUDE, EXCLUDE) else []
            name = rest[len(lead) :]
            last = [name.pop()] if not lead and name[-1].isdecimal() and ".".join(name[:-1]) in known else []
            change = replace(change, keys=tuple(key for key in (KEY, *lead, ".".join(name), *last) if key))
            known.add(change.keys[1])
        found.append(change)
    return found


class _Reader:
    """Reads one matrix and collects its mistakes."""

    def __init__(self, document: Document, kind: type[Spec] | None) -> None:
        self.mistakes: list[Mistake] = []
        self.document, self.kind = document, kind
        self.base = Matrix(document, (), ()).base
        self.trials = SearchSpace.of(document)
        self.document, self.ranges, wrong = with_ranges(document, KEY)
        for path, message in wrong:
            self.blame(path, message)
        self.refused = {path for path, _ in wrong}

    def combinations(self) -> list[Combination]:
        said = self.document.data[KEY]
        if not isinstance(said, dict):
            what = "expected a mapping of fields to the values that they take, such as model: [a.pt2, b.pt2]"
            return self.blame((KEY,), what)
        axes = {name: self.values(name) for name in said if name not in (INCLUDE, EXCLUDE)}
        excluded = list(self.matching(axes))
        included = list(self.entries(INCLUDE, None))
        if not axes and INCLUDE not in said:
            return self.blame(
                (KEY,), "is empty; name a field with the values that it takes, such as model: [a.pt2, b.pt2]"
            )
        product = math.prod(map(len, axes.values())) if axes else 0
        count = len(included) + (min(product, self.trials.count) if self.trials else product)
        if count > MAX_VARIANTS:
            return self.blame((KEY,), f"makes {count:,} variants; at most {MAX_VARIANTS} are allowed in one run")
        kept = self.drawn(axes, excluded) if self.trials else self.product(axes, excluded)
        found = self.including(kept, included)
        if not (found or self.mistakes):
            self.blame((KEY, EXCLUDE), "leaves no variant; exclude fewer")
        return _each_once(axes, [entry for _, entry in included]) if self.mistakes else found

    def product(self, axes: Mapping[str, list[Path]], excluded: list[Combination]) -> list[Combination]:
        """Every combination that is not excluded."""
        every = (dict(zip(axes, paths, strict=True)) for paths in itertools.product(*axes.values())) if axes else ()
        return [one for one in every if self.allowed(one, excluded)]

    def drawn(self, axes: Mapping[str, list[Path]], excluded: list[Combination]) -> list[Combination]:
        """The combinations of a search's trials."""
        if self.trials is None or not all(axes.values()):
            return []
        if not self.ranges and math.prod(map(len, axes.values())) <= self.trials.count:
            return self.product(axes, excluded)
        return self.trials.chosen(axes, self.ranges, lambda one: self.allowed(one, excluded))

    def allowed(self, one: Combination, excluded: list[Combination]) -> bool:
        return not any(all(self.same(one[name], entry[name]) for name in entry) for entry in excluded)

    def values(self, name: str) -> list[Path]:
        """Where the values of a field stand; none when there is a mistake."""
        path = (KEY, name)
        if not self.field(name, path) or path in self.refused:
            return []
        said = self.document.at(path)
        if not isinstance(said, list):
            nested = isinstance(said, dict) and said and self.kind is not None
            more = f"; nested fields are written with a dot, such as {name}.{next(iter(said))}: [...]" if nested else ""
            return self.blame(path, f"expected a list of the values that {name} takes{more}")
        if not said:
            return self.blame(path, f"expected at least one value for {name}")
        seen: dict[str, int] = {}
        for index, value in enumerate(said):
            first = seen.setdefault(variant_names.canonical(value), index)
            if first != index and (*path, index) not in self.document.broken:
                self.blame((*path, index), f"the same value as item {first + 1} of the list")
        return [(*path, index) for index in seen.values()]

    def entries(self, key: str, axes: Mapping[str, Any] | None) -> Iterator[tuple[Path, Combination]]:
        """Each mapping of `include` or `exclude`, with its place. `axes`: the only fields that it may name."""
        said = self.document.data[KEY].get(key, ())
        if key in self.document.data[KEY] and not (isinstance(said, list) and said):
            self.blame((KEY, key), "expected a list of mappings such as {area: a.geojson, model: b.pt2}")
            return
        for index, entry in enumerate(said):
            path = (KEY, key, index)
            if not (isinstance(entry, dict) and entry):
                self.blame(path, "expected a mapping of fields to values such as {area: a.geojson, model: b.pt2}")
                continue
            places: Combination = {name: (*path, name) for name in entry}
            wrong = [name for name, place in places.items() if not self.named(name, place, axes)]
            if not wrong:
                yield path, places

    def named(self, name: str, path: Path, axes: Mapping[str, Any] | None) -> bool:
        if axes is None or name in axes:
            return axes is not None or self.field(name, path)
        self.blame(path, f"the matrix does not vary {name}{spelling.did_you_mean(name, axes)}", key=True)
        return False

    def field(self, name: str, path: Path) -> bool:
        """Whether a dotted name is that of a field that can vary."""
        parts = tuple(name.split("."))
        if parts[0] in Spec.reserved:
            what = f"{parts[0]} is of the whole run and cannot vary; "
            more = (
                "specs of other pipelines are runs of their own" if parts[0] == "pipeline" else "write it beside matrix"
            )
            self.blame(path, what + ("a matrix has no matrix in it" if parts[0] == KEY else more), key=True)
            return False
        for depth, part in enumerate(parts):
            known = model_paths.field_names(self.kind, self.base, parts[:depth]) if self.kind is not None else []
            if not part or (known and part not in known):
                others = [*known, INCLUDE, EXCLUDE] if not depth and len(path) == 2 else known
                hint = spelling.did_you_mean(part, [word for word in others if word not in Spec.reserved])
                self.blame(path, f"unknown field{hint}", key=True)
                return False
        return True

    def matching(self, axes: Mapping[str, list[Path]]) -> Iterator[Combination]:
        """Entries of `exclude` that have something to exclude."""
        for path, entry in self.entries(EXCLUDE, axes):
            missing = [
                name for name in entry if axes[name] and not any(self.same(entry[name], at) for at in axes[name])
            ]
            if missing:
                self.blame((*path, missing[0]), f"excludes nothing: the matrix has no such value of {missing[0]}")
            yield entry

    def including(self, kept: list[Combination], included: list[tuple[Path, Combination]]) -> list[Combination]:
        """An entry is added to every variant whose own values it does not change; where there is none it is one more."""
        found = [dict(one) for one in kept]
        for path, entry in included:
            fitting = [
                (own, one)
                for own, one in zip(kept, found, strict=False)  # what was included before is not added to
                if all(self.same(own[name], entry[name]) for name in entry if name in own)
            ]
            for own, one in fitting:
                one |= {name: place for name, place in entry.items() if name not in own}
            if fitting and not any(set(entry) - set(own) for own, _ in fitting):
                self.blame(path, "includes nothing: this variant is there already")
            if not fitting and any(self.told(one) == self.told(entry) for one in found[len(kept) :]):
                self.blame(path, "includes nothing: this variant is there already")
            elif not fitting:
                found.append(entry)
        return found

    def told(self, one: Combination) -> dict[str, str]:
        return {name: variant_names.canonical(self.document.at(path)) for name, path in one.items()}

    def same(self, one: Path, other: Path) -> bool:
        return variant_names.canonical(self.document.at(one)) == variant_names.canonical(self.document.at(other))

    def blame(self, path: Path, message: str, *, key: bool = False) -> list[Any]:
        """Note a mistake. Returns the nothing that stands for what is wrong."""
        if path not in self.document.broken:
            self.mistakes.append(self.document.marks[self.document.locate(path)].mistake(path, message, key=key))
        return []


def _each_once(axes: Mapping[str, list[Path]], included: list[Combination]) -> list[Combination]:
    """Combinations that have every value of the axes at least once, no more of them than there may be variants."""
    longest = max(map(len, axes.values()), default=0)
    paired = [{name: paths[n % len(paths)] for name, paths in axes.items() if paths} for n in range(longest)]
    return [*paired, *included][:MAX_VARIANTS]


@dataclass(frozen=True, slots=True)
class _MovedMark(Mark):
    """The place of a value in a matrix, once the value stands where its field is."""

    here: Path = ()
    """Where it is written."""
    there: tuple[str, ...] = ()
    """Where it stands."""

    def mistake(self, path: Path, message: str, *, key: bool = False) -> Mistake:
        if tuple(map(str, path[: len(self.there)])) == self.there:
            path = (*self.here, *path[len(self.there) :])
        return Mark.mistake(self, path, message, key=key)


def _moved_mark(mark: Mark, here: Path, there: tuple[str, ...]) -> _MovedMark:
    return _MovedMark(mark.file, mark.line, mark.column, mark.key_line, mark.key_column, here, there)


def _outputs(kind: type[Spec] | None) -> list[str]:
    """Fields of a Spec class that are outputs."""
    nowhere = Document("", "", {}, {})
    names = kind.model_fields if kind is not None else ()
    return [
        name
        for name in names
        if kind and any(issubclass(m, Destination) for m in model_paths.models_at(kind, nowhere, (name,)))
    ]


def _below(document: Document, key: str, name: str, expand: Expand) -> Override | None:
    """An output's folder, with a variant's name below it. None when the document does not say a folder."""
    if key not in document.data:
        return None
    said = document.at((key,))
    full = expand(document, (key,)) if isinstance(said, str) else said
    to = full.get("to") if isinstance(full, dict) else None
    if not (isinstance(to, str) and to.strip("/")):
        return None  # validation says what is wrong with it
    mark = document.marks[document.locate((key, "to"))]
    return Override((key, "to"), Document("", document.file, f"{to.rstrip('/')}/{name}", {(): mark}))
