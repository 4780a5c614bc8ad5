"""Reading the matrix of a document: which combinations of values it has, or its mistakes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from swath.errors import Mistake
from swath.spec import spelling
from swath.spec.base import Spec
from swath.spec.matrix import variant_names
from swath.spec.matrix.matrix import EXCLUDE, INCLUDE, KEY, MAX_VARIANTS, Combination, Matrix
from swath.spec.matrix.search_space import SearchSpace, with_ranges
from swath.spec.validation import model_paths
from swath.spec.yaml.document import Document, Path


def read_matrix(document: Document, kind: type[Spec] | None) -> Matrix:
    """The matrix of a document that has one. kind: None if the pipeline is not known."""
    reader = _Reader(document, kind)
    combinations = tuple(reader.combinations())
    return Matrix(reader.document, combinations, tuple(reader.mistakes))


class _Reader:
    """Reads one matrix and collects its mistakes."""

    def __init__(self, document: Document, kind: type[Spec] | None) -> None:
        self.mistakes: list[Mistake] = []
        self.document, self.kind = document, kind
        self.base = Matrix(document, (), ()).base
        self.search = SearchSpace.of(document)
        self.document, self.ranges, wrong = with_ranges(document, KEY)
        for path, message in wrong:
            self.report(path, message)
        self.wrong_ranges = {path for path, _ in wrong}

    def combinations(self) -> list[Combination]:
        matrix = self.document.data[KEY]
        if not isinstance(matrix, dict):
            what = "expected a mapping of fields to the values that they take, such as model: [a.pt2, b.pt2]"
            return self.report((KEY,), what)
        axes = {name: self.values(name) for name in matrix if name not in (INCLUDE, EXCLUDE)}
        excluded = list(self.matching(axes))
        included = list(self.entries(INCLUDE, None))
        if not axes and INCLUDE not in matrix:
            return self.report(
                (KEY,), "is empty; name a field with the values that it takes, such as model: [a.pt2, b.pt2]"
            )
        product = math.prod(map(len, axes.values())) if axes else 0
        count = len(included) + (min(product, self.search.count) if self.search else product)
        if count > MAX_VARIANTS:
            return self.report((KEY,), f"makes {count:,} variants; at most {MAX_VARIANTS} are allowed in one run")
        chosen = self.sampled(axes, excluded) if self.search else self.product(axes, excluded)
        found = self.including(chosen, included)
        if not (found or self.mistakes):
            self.report((KEY, EXCLUDE), "leaves no variant; exclude fewer")
        return _each_once(axes, [entry for _, entry in included]) if self.mistakes else found

    def product(self, axes: Mapping[str, list[Path]], excluded: list[Combination]) -> list[Combination]:
        """Every combination that is not excluded."""
        every = (dict(zip(axes, paths, strict=True)) for paths in itertools.product(*axes.values())) if axes else ()
        return [one for one in every if self.allowed(one, excluded)]

    def sampled(self, axes: Mapping[str, list[Path]], excluded: list[Combination]) -> list[Combination]:
        """The combinations of a random search."""
        if self.search is None or not all(axes.values()):
            return []
        if not self.ranges and math.prod(map(len, axes.values())) <= self.search.count:
            return self.product(axes, excluded)
        return self.search.combinations(axes, self.ranges, lambda one: self.allowed(one, excluded))

    def allowed(self, one: Combination, excluded: list[Combination]) -> bool:
        return not any(all(self.same(one[name], entry[name]) for name in entry) for entry in excluded)

    def values(self, name: str) -> list[Path]:
        """Paths of the values of a field; empty if there is a mistake."""
        path = (KEY, name)
        if not self.field(name, path) or path in self.wrong_ranges:
            return []
        values = self.document.at(path)
        if not isinstance(values, list):
            nested = isinstance(values, dict) and values and self.kind is not None
            more = (
                f"; nested fields are written with a dot, such as {name}.{next(iter(values))}: [...]" if nested else ""
            )
            return self.report(path, f"expected a list of the values that {name} takes{more}")
        if not values:
            return self.report(path, f"expected at least one value for {name}")
        seen: dict[str, int] = {}
        for index, value in enumerate(values):
            first = seen.setdefault(variant_names.canonical(value), index)
            if first != index and (*path, index) not in self.document.broken:
                self.report((*path, index), f"the same value as item {first + 1} of the list")
        return [(*path, index) for index in seen.values()]

    def entries(self, key: str, axes: Mapping[str, Any] | None) -> Iterator[tuple[Path, Combination]]:
        """Each mapping of `include` or `exclude`, with its path. axes: the only fields that it may have; None for all."""
        entries = self.document.data[KEY].get(key, ())
        if key in self.document.data[KEY] and not (isinstance(entries, list) and entries):
            self.report((KEY, key), "expected a list of mappings such as {area: a.geojson, model: b.pt2}")
            return
        for index, entry in enumerate(entries):
            path = (KEY, key, index)
            if not (isinstance(entry, dict) and entry):
                self.report(path, "expected a mapping of fields to values such as {area: a.geojson, model: b.pt2}")
                continue
            places: Combination = {name: (*path, name) for name in entry}
            wrong = [name for name, place in places.items() if not self.named(name, place, axes)]
            if not wrong:
                yield path, places

    def named(self, name: str, path: Path, axes: Mapping[str, Any] | None) -> bool:
        if axes is None or name in axes:
            return axes is not None or self.field(name, path)
        self.report(path, f"the matrix does not vary {name}{spelling.did_you_mean(name, axes)}", key=True)
        return False

    def field(self, name: str, path: Path) -> bool:
        """Whether a dotted name is a field that a matrix may vary. If not, that is a mistake."""
        parts = tuple(name.split("."))
        if parts[0] in Spec.reserved:
            what = f"{parts[0]} is of the whole run and cannot vary; "
            more = (
                "specs of other pipelines are runs of their own" if parts[0] == "pipeline" else "write it beside matrix"
            )
            self.report(path, what + ("a matrix has no matrix in it" if parts[0] == KEY else more), key=True)
            return False
        for depth, part in enumerate(parts):
            known = model_paths.field_names(self.kind, self.base, parts[:depth]) if self.kind is not None else []
            if not part or (known and part not in known):
                others = [*known, INCLUDE, EXCLUDE] if not depth and len(path) == 2 else known
                hint = spelling.did_you_mean(part, [word for word in others if word not in Spec.reserved])
                self.report(path, f"unknown field{hint}", key=True)
                return False
        return True

    def matching(self, axes: Mapping[str, list[Path]]) -> Iterator[Combination]:
        """The entries of `exclude`. One without effect is a mistake."""
        for path, entry in self.entries(EXCLUDE, axes):
            missing = [
                name for name in entry if axes[name] and not any(self.same(entry[name], at) for at in axes[name])
            ]
            if missing:
                self.report((*path, missing[0]), f"excludes nothing: the matrix has no such value of {missing[0]}")
            yield entry

    def including(self, chosen: list[Combination], included: list[tuple[Path, Combination]]) -> list[Combination]:
        """The combinations with the entries of `include`.

        An entry is merged into every combination with which it has no conflict; if there is none, it is one more variant.
        """
        found = [dict(one) for one in chosen]
        for path, entry in included:
            fitting = [
                (own, one)
                for own, one in zip(chosen, found, strict=False)  # not with earlier entries
                if all(self.same(own[name], entry[name]) for name in entry if name in own)
            ]
            for own, one in fitting:
                one |= {name: place for name, place in entry.items() if name not in own}
            if fitting and not any(set(entry) - set(own) for own, _ in fitting):
                self.report(path, "includes nothing: this variant is there already")
            if not fitting and any(self.canonical(one) == self.canonical(entry) for one in found[len(chosen) :]):
                self.report(path, "includes nothing: this variant is there already")
            elif not fitting:
                found.append(entry)
        return found

    def canonical(self, one: Combination) -> dict[str, str]:
        return {name: variant_names.canonical(self.document.at(path)) for name, path in one.items()}

    def same(self, one: Path, other: Path) -> bool:
        return variant_names.canonical(self.document.at(one)) == variant_names.canonical(self.document.at(other))

    def report(self, path: Path, message: str, *, key: bool = False) -> list[Any]:
        """Add a mistake, unless the value has one already. Returns an empty list: the values of a field that is wrong."""
        if path not in self.document.broken:
            self.mistakes.append(self.document.marks[self.document.locate(path)].mistake(path, message, key=key))
        return []


def _each_once(axes: Mapping[str, list[Path]], included: list[Combination]) -> list[Combination]:
    """Combinations that have every value of the axes at least once, MAX_VARIANTS at most."""
    longest = max(map(len, axes.values()), default=0)
    paired = [{name: paths[n % len(paths)] for name, paths in axes.items() if paths} for n in range(longest)]
    return [*paired, *included][:MAX_VARIANTS]
