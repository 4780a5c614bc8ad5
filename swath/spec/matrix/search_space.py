"""Random search of a matrix: a sample of its variants, from lists of values and from ranges of numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.spec.yaml.document import Document, Path

KEY = "search"
RANGE = "between"
SCALES = ("linear", "log")
MAX_DRAWS = 1000
"""How often a random combination is drawn for a variant, until one is new and allowed."""


@dataclass(frozen=True)
class SearchSpace:
    """Size and seed of the sample, read from a document before it is validated."""

    count: int
    """Number of variants."""
    seed: int

    @classmethod
    def of(cls, document: Document) -> SearchSpace | None:
        """That of a document; None if it has no search, or one that validation refuses."""
        search = document.data.get(KEY)
        if not isinstance(search, dict):
            return None
        count, seed = search.get("random"), search.get("seed", 0)
        if isinstance(count, bool) or not (isinstance(count, int) and isinstance(seed, int) and 1 <= count <= 256):
            return None
        return cls(count, seed)

    def numbers(self, name: str, low: float, high: float, scale: str) -> list[float]:
        """One number per variant by Latin hypercube sampling: each of `count` equal parts of the range has one.

        Integers if both ends are; else numbers with three significant digits. scale: one of SCALES.
        """
        source = random.Random(f"{self.seed}/{name}")
        parts = list(range(self.count))
        source.shuffle(parts)
        shares = [(part + source.random()) / self.count for part in parts]
        if scale == "log":
            numbers = [low * (high / low) ** share for share in shares]
        else:
            numbers = [low + (high - low) * share for share in shares]
        if isinstance(low, int) and isinstance(high, int):
            return [min(max(round(number), low), high) for number in numbers]
        return [min(max(float(f"{number:.3g}"), low), high) for number in numbers]

    def combinations(
        self,
        axes: Mapping[str, Sequence[Path]],
        ranges: Mapping[str, Sequence[Path]],
        allowed: Callable[[dict[str, Path]], bool],
    ) -> list[dict[str, Path]]:
        """Different allowed combinations, one for each variant; fewer if not enough are found. ranges: paths of their numbers."""
        source = random.Random(self.seed)
        found: dict[tuple[Path, ...], dict[str, Path]] = {}
        for trial in range(self.count):
            for _ in range(MAX_DRAWS):
                one = {
                    name: ranges[name][trial] if name in ranges else paths[source.randrange(len(paths))]
                    for name, paths in axes.items()
                }
                if tuple(one.values()) not in found and allowed(one):
                    found[tuple(one.values())] = one
                    break
        return list(found.values())


def with_ranges(document: Document, key: str) -> tuple[Document, dict[str, list[Path]], list[tuple[Path, str]]]:
    """(document, paths, mistakes): the ranges of the matrix, which is at `key`, replaced by lists of numbers.

    paths: for each range, the path of the number of each variant. mistakes: paths and messages.
    """
    axes, space = document.data[key], SearchSpace.of(document)
    if not isinstance(axes, dict):
        return document, {}, []
    matrix, marks = dict(axes), dict(document.marks)
    places: dict[str, list[Path]] = {}
    wrong: list[tuple[Path, str]] = []
    for name, value in axes.items():
        if not (isinstance(value, dict) and RANGE in value) or name in ("include", "exclude"):
            continue
        path = (key, name)
        if space is None:
            wrong.append((path, "a range needs trials: write `search: {random: 20}` beside matrix"))
            continue
        if why := _wrong(value):
            wrong.append((path, why))
            continue
        low, high = value[RANGE]
        numbers = space.numbers(name, low, high, value.get("scale", "linear"))
        unique = list(dict.fromkeys(numbers))
        matrix[name] = unique
        marks = {at: mark for at, mark in marks.items() if at[:2] != path or len(at) == 2}
        marks |= {(*path, index): marks[path] for index in range(len(unique))}
        places[name] = [(*path, unique.index(number)) for number in numbers]
    return replace(document, data={**document.data, key: matrix}, marks=marks), places, wrong


def _wrong(value: dict[str, Any]) -> str:
    """What is wrong with a range; empty if nothing is."""
    ends = value[RANGE]
    sound = isinstance(ends, list) and len(ends) == 2
    numbers = sound and all(isinstance(e, int | float) and not isinstance(e, bool) and math.isfinite(e) for e in ends)
    if not numbers or not ends[0] < ends[1]:
        return f"expected a range such as {{{RANGE}: [0.0001, 0.01]}}, the smaller number first"
    if unknown := set(value) - {RANGE, "scale"}:
        return f"a range has no {sorted(unknown)[0]}; it has {RANGE} and scale"
    if value.get("scale", "linear") not in SCALES:
        return f"scale is one of {', '.join(SCALES)}"
    if value.get("scale") == "log" and ends[0] <= 0:
        return "a range with scale log begins above 0"
    return ""
