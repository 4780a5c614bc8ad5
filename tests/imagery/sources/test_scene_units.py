"""The numbers of several scenes are mixed only where they mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.imagery.scene import Scenes
from swath.imagery.sources.date_pairs import find_date_pairs
from swath.imagery.sources.find import find
from swath.imagery.sources.scene_units import check_date_pairs, check_units
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.imagery.sources.items import make_item, write_items


def raster(path: Path, low: int, scale: float | None = None, offset: float = 0.0) -> Path:
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint16", crs="EPSG:32632",
        transform=from_origin(5e5, 52e5, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.full((1, 8, 8), low, np.uint16))
        if scale is not None:
            file.scales, file.offsets = [scale], [offset]
        file.descriptions = ["red"]
    return path


def of_files(*paths: Path, **settings: Any) -> Scenes:
    return find(FilesImagery(paths=tuple(map(str, paths)), **settings), ("red",))


def sentinel(tmp_path: Path) -> Scenes:
    items = []
    for number, (baseline, year) in enumerate((("02.09", 2021), ("05.09", 2023))):
        raster(tmp_path / f"{number}.tif", 1000)
        asset = {"href": f"{number}.tif", "roles": ["data"], "eo:bands": [{"name": "B04", "common_name": "red"}]}
        properties = {"s2:processing_baseline": baseline, "datetime": f"{year}-06-01T10:00:00Z"}
        items.append(make_item(f"scene-{number}", {"red": asset}, **properties))
    return find(StacImagery(catalog=write_items(tmp_path, *items)), ("red",))


def test_numbers_of_two_processing_baselines_are_not_mixed(tmp_path):
    scenes = sentinel(tmp_path)
    with pytest.raises(ImageryError) as caught:
        check_units((scenes,), physical=False)
    assert caught.value.message == (
        "scene-0 and scene-1: the numbers of band red stand for different physical values (number * 0.0001 + 0; number * 0.0001 "
        "- 0.1), and the numbers themselves are used"
    )
    check_units((scenes,), physical=True)


def test_numbers_of_files_with_different_scales_are_not_mixed(tmp_path):
    one, other = raster(tmp_path / "a.tif", 1, 0.0001), raster(tmp_path / "b.tif", 1, 0.001)
    with pytest.raises(ImageryError, match="a and b: the numbers of band red"):
        check_units((of_files(one, other),), physical=False)
    check_units((of_files(one, other, scale=1, offset=0),), physical=False)  # the spec says that they mean the same


def test_sheets_of_one_map_are_compared_too(tmp_path):
    grids = [of_files(raster(tmp_path / "a.tif", 1, 0.0001)), of_files(raster(tmp_path / "b.tif", 1, 0.0001, -0.1))]
    with pytest.raises(ImageryError, match="a and b"):
        check_units(grids, physical=False)


def test_equal_and_unknown_scales_are_no_difference(tmp_path):
    paths = (
        raster(tmp_path / "a.tif", 1, 0.0001),
        raster(tmp_path / "b.tif", 1),
        raster(tmp_path / "c.tif", 1, 0.00010000000001),
    )
    check_units((of_files(*paths),), physical=False)


def test_two_dates_of_different_scales_are_not_given_to_one_model(tmp_path):
    before = FilesImagery(paths=(str(raster(tmp_path / "a.tif", 1, 0.0001)),))
    after = FilesImagery(paths=(str(raster(tmp_path / "b.tif", 1, 0.0001, -0.1)),))
    both = find_date_pairs(
        before.model_copy(update={"bands": ("red",)}), after.model_copy(update={"bands": ("red",)}), ("one", "two")
    )
    with pytest.raises(ImageryError, match="different physical values"):
        check_date_pairs(both)
