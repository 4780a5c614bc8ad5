"""Results of regions: the parts of one file are taken when they are accessed."""

from __future__ import annotations

from swath.maps.cog.encoded_part import EncodedPart
from swath.maps.region import map_region
from swath.maps.region_result import FileParts, RegionResult
from tests.maps.case import Case


def test_the_parts_of_a_file_are_taken_when_they_are_asked_for(case: Case) -> None:
    made = [map_region(region, case.scenes, case.model, None, case.layout(64)) for region in case.regions(128)]
    asked: list[int] = []

    class Counting(list[RegionResult]):
        def __getitem__(self, item):  # type: ignore[no-untyped-def]
            asked.append(item)
            return super().__getitem__(item)

    parts = FileParts.of(Counting(made), "map", case.regions(128), 0)
    assert len(parts) == 4
    assert parts[2] is made[2].map
    assert asked == [2]
    assert [part.index for part in parts] == [0, 1, 2, 3]
    assert [part.index for part in parts[1:3]] == [1, 2]
    assert all(isinstance(part, EncodedPart) for part in parts)
