"""Folders of areas are called after their files, each once."""

from __future__ import annotations

from swath.maps.area_folders import area_folders
from swath.spec.fields.area import Area


def test_areas_are_called_after_their_files_each_once() -> None:
    square = "POLYGON((0 0, 1 0, 1 1, 0 0))"
    areas = [Area(wkt=square, source=source) for source in ("areas/north.geojson", "b/north.geojson", "", "x y.gpkg")]
    assert area_folders(areas) == ["north", "north-2", "area-3", "x-y"]
    assert area_folders([]) == ["all"]
