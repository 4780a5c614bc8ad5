"""Pixels that a model was trained on: counted by place, date and split, not by boxes that touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping

from swath.evaluation.trained_ground import trained_pixels, trained_scenes
from swath.geo import Window
from swath.imagery.geometry.footprint import grid_footprint
from swath.imagery.scene import Scene, Scenes
from swath.spec.fields.area import Area
from swath.spec.fields.split import AreaSplit, SceneSplit
from swath.training.split.split import Split

EDGE = 100
WHOLE = Window(0, 0, EDGE, EDGE)


def grid(columns: int = 0) -> GeoBox:
    """100 x 100 pixels of 10 m in UTM, so many pixels further east: its box in degrees is wider than itself."""
    left = 400_000 + 10 * columns
    return GeoBox.from_bbox((left, 5_000_000, left + 1000, 5_001_000), crs="EPSG:32633", resolution=10)


def image(columns: int = 0, name: str = "own", datetime: str | None = "2024-05-01T10:00:00Z") -> Scenes:
    return Scenes((Scene(name, (), datetime=datetime),), grid(columns), ("red",))


def trained(columns: int, name: str = "own", datetime: str | None = "2024-05-01T10:00:00Z") -> dict[str, Any]:
    footprint = grid_footprint(grid(columns))
    return {"id": name, "datetime": datetime, "bbox": list(footprint.bounds), "geometry": mapping(footprint)}


def counts(scored: Scenes, scenes: list[dict[str, Any]], split: Split | None = None) -> tuple[int, int]:
    same, other = trained_pixels(scored, trained_scenes(scored, scenes), split, WHOLE)
    assert not (same & other).any()
    return int(same.sum()), int(other.sum())


@pytest.mark.parametrize("name", ["own", "another"])
def test_scenes_that_touch_or_whose_boxes_overlap_share_no_pixel(name: str) -> None:
    beside = trained(EDGE, name)
    assert grid_footprint(grid()).bounds[2] > beside["bbox"][0]  # the boxes in degrees do
    assert counts(image(), [beside]) == (0, 0)


def test_pixels_are_counted_where_scenes_overlap() -> None:
    assert counts(image(), [trained(0)]) == (EDGE * EDGE, 0)
    assert counts(image(), [trained(70)]) == (30 * EDGE, 0)
    assert counts(image(), [trained(70), trained(60)]) == (40 * EDGE, 0)


def test_another_date_of_the_same_ground_is_counted_apart() -> None:
    before = trained(50, "before", "2023-05-01T10:00:00Z")
    assert counts(image(), [before]) == (0, 50 * EDGE)
    assert counts(image(), [before, trained(80)]) == (20 * EDGE, 30 * EDGE)
    assert counts(image(), [trained(50, "own", "2023-05-01T10:00:00Z")]) == (0, 50 * EDGE)


def test_a_scene_of_another_name_and_the_same_date_is_the_same() -> None:
    assert counts(image(), [trained(50, "reprocessed")]) == (50 * EDGE, 0)
    assert counts(image(datetime=None), [trained(50, "copy", None)]) == (0, 50 * EDGE)


def test_only_the_training_split_counts() -> None:
    west = Area(
        wkt=grid_footprint(
            GeoBox.from_bbox((400_000, 5_000_000, 400_500, 5_001_000), crs="EPSG:32633", resolution=10)
        ).wkt
    )
    split = Split(AreaSplit(by="area", validation=west, buffer_m=0), 1, untrained=west)
    assert counts(image(), [trained(0)], split) == (50 * EDGE, 0)
    by_scene = Split(SceneSplit(by="scene", validation=("before",)), 1)
    before = trained(0, "before", "2023-05-01T10:00:00Z")
    assert counts(image(), [before], by_scene) == (0, 0)
    assert counts(image(), [{**before, "id": "after"}], by_scene) == (0, EDGE * EDGE)


def test_without_places_the_id_decides() -> None:
    plain = Scenes((Scene("own", (), datetime=None),), GeoBox((EDGE, EDGE), grid().affine, None), ("red",))
    assert counts(plain, [{"id": "own", "datetime": None, "bbox": None}]) == (EDGE * EDGE, 0)
    assert counts(plain, [{"id": "another", "datetime": None, "bbox": None}]) == (0, 0)


def test_a_box_across_the_antimeridian_is_two_boxes() -> None:
    left = GeoBox.from_bbox((179.0, 10.0, 180.0, 11.0), crs="EPSG:4326", resolution=0.01)
    scored = Scenes((Scene("own", (), datetime=None),), left, ("red",))
    assert counts(scored, [{"id": "own", "bbox": [179.5, 10.0, -179.0, 11.0]}]) == (50 * EDGE, 0)
    assert np.prod(left.shape) == EDGE * EDGE
