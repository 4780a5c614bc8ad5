"""Results of the calls that make a map: the encoded parts of each region, and the parts of one file among all of them."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import overload

from swath.engine.stored_args import LazyItems
from swath.geo import Blocks, Regions, Window
from swath.maps.cog.encoded_part import EncodedPart


@dataclass(frozen=True)
class RegionResult:
    """The result of one call: a region of the map, encoded, one part for each file."""

    sheet: int
    map: EncodedPart
    probabilities: EncodedPart | None = None

    @property
    def place(self) -> tuple[int, int]:
        """(sheet, index of the region in the sheet): results are sorted by it."""
        return self.sheet, self.map.index


@dataclass(frozen=True)
class FileParts(Sequence[EncodedPart]):
    """A lazy sequence: the parts of one file of the map, taken from the results of its regions when they are accessed."""

    results: Sequence[RegionResult]
    """Sorted by place; regions whose call failed are missing."""
    name: str
    """Field of RegionResult: `map` or `probabilities`."""
    places: range
    """Positions in `results`."""

    @classmethod
    def of(cls, results: Sequence[RegionResult], name: str, regions: Regions, sheet: int) -> FileParts:
        """The parts of one sheet. `name` is the field of RegionResult, `sheet` the number of the sheet."""
        if len(results) == len(regions):
            start, stop = regions.first(sheet), regions.first(sheet + 1)
        else:
            start, stop = (
                bisect.bisect_left(results, (number, -1), key=lambda each: each.place) for number in (sheet, sheet + 1)
            )
        return cls(results, name, range(start, stop))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, item: int) -> EncodedPart: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[EncodedPart]: ...
    def __getitem__(self, item: int | slice) -> EncodedPart | Sequence[EncodedPart]:
        if isinstance(item, slice):
            return FileParts(self.results, self.name, self.places[item])
        part: EncodedPart = getattr(self.results[self.places[item]], self.name)
        return part

    def __iter__(self) -> Iterator[EncodedPart]:
        start, stop = self.places.start, self.places.stop
        if isinstance(self.results, LazyItems):  # begins where this file does
            return (getattr(result, self.name) for result in self.results.between(start, stop))
        return (getattr(result, self.name) for result in islice(self.results, start, stop))

    def touching(self, blocks: Blocks, window: Window) -> list[EncodedPart]:
        """The parts that share pixels with `window`, which is in pixels of the image grid."""
        found = []
        for index in blocks.touching(window):
            place = bisect.bisect_left(self, index, key=lambda part: part.index)
            if place < len(self) and self[place].index == index:
                found.append(self[place])
        return found
