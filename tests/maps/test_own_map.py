"""Maps of one's own: what a tile holds is what the file holds, whatever the tiles; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from swath.errors import PipelineError, TaskFailed
from swath.imagery.geometry.image_grid import area_mask, output_window
from swath.imagery.image_block import find_scenes, read
from swath.imagery.scene import Scenes
from swath.maps.own_map import MapTile, publish_map, tiles
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import LabelClass
from swath.spec.fields.output import Output
from tests.imagery.rasters import write

LINEAGE = "twice the red"


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    pixels = np.random.default_rng(1).integers(1, 3000, (1, 300, 210)).astype(np.uint16)
    pixels[:, 10:20, 5:30] = 0
    return find_scenes(
        FilesImagery(paths=(str(write(tmp_path / "one.tif", pixels, names=("red",), nodata=0)),)), ("red",)
    )


def output(folder: Path, **more: Any) -> Output:
    return Output(to=str(folder / "map"), blocksize=64, **more)


def raster(folder: Path) -> NDArray[Any]:
    with rasterio.open(folder / "map/map.tif") as file:
        found: NDArray[Any] = file.read()
    return found


def area_of(scenes: Scenes) -> Area:
    x, y = scenes.image.affine @ (105, 150)
    points = [(x - 800, y), (x, y + 1200), (x + 700, y), (x, y - 1300), (x - 800, y)]
    return Area(wkt=f"POLYGON (({', '.join(f'{a} {b}' for a, b in points)}))", crs="EPSG:32633")


@pytest.mark.parametrize("size", [64, 128, None])
@pytest.mark.parametrize("within", [False, True])
def test_a_map_holds_the_values_of_its_tiles_whatever_their_size(
    scenes: Scenes, tmp_path: Path, size: int | None, within: bool
) -> None:
    area = area_of(scenes) if within else None
    to = output(tmp_path)
    planned = tiles(scenes, to, area=area, bands=("twice",), size=size)

    def twice(tile: MapTile) -> NDArray[np.float32]:
        block = read(scenes, tile)
        return np.where(block.valid, block.band("red") * np.float32(2), np.nan)

    published = publish_map(twice, planned, scenes, to, lineage=LINEAGE, numbers={"answer": 42}, files={"a.csv": "x\n"})
    whole = read(scenes)
    expected = np.where(whole.valid, whole.band("red") * np.float32(2), np.nan)
    if area is not None:
        mask = area_mask(area, scenes.image)
        expected[~mask] = np.nan
        expected = expected[output_window(scenes.image, area).roi]
    assert np.array_equal(raster(tmp_path)[0], expected, equal_nan=True)
    assert published.about["numbers"]["answer"] == 42
    assert published.about["valid_pixels"] == np.isfinite(expected).sum()
    item = json.loads((tmp_path / "map/item.json").read_text())
    assert item["properties"]["processing:lineage"] == LINEAGE
    assert item["assets"]["map"]["bands"][0]["name"] == "twice"
    assert (tmp_path / "map/a.csv").read_text() == "x\n"
    assert (tmp_path / "map/preview.png").is_file()


def test_an_array_a_function_and_encoded_tiles_give_the_same_file(scenes: Scenes, tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(size=(2, 300, 210)).astype(np.float32)
    found = set()
    for name in ("array", "function", "tiles"):
        to = output(tmp_path / name)
        planned = tiles(scenes, to, bands=("a", "b"), size=64)
        given: Any = {
            "array": values,
            "function": lambda tile: values[:, *tile.window.roi],
            "tiles": [tile.encode(values[:, *tile.window.roi]) for tile in reversed(planned)],
        }[name]
        published = publish_map(given, planned, scenes, to, lineage=LINEAGE)
        found.add(next(file.sha256 for file in published.files if file.name == "map.tif"))
        assert np.array_equal(raster(tmp_path / name), values)
    assert len(found) == 1


def test_classes_have_their_names_shares_and_polygons(scenes: Scenes, tmp_path: Path) -> None:
    to = output(tmp_path)
    planned = tiles(scenes, to, classes=(LabelClass(name="low"), LabelClass(name="high", color="FF0000")))
    red = read(scenes)
    published = publish_map(
        np.where(red.valid, red.band("red") > 1500, 255).astype(np.uint8), planned, scenes, to, lineage=LINEAGE
    )
    classes = raster(tmp_path)[0]
    assert np.array_equal(classes[red.valid], (red.band("red") > 1500)[red.valid])
    assert (classes[~red.valid] == 255).all()
    shares = {each["name"]: each["pixels"] for each in published.about["shares"]}
    assert shares == {"low": int((classes == 0).sum()), "high": int((classes == 1).sum())}
    assert (tmp_path / "map/map.parquet").is_file()


def test_values_that_a_map_cannot_hold_are_refused(scenes: Scenes, tmp_path: Path) -> None:
    to = output(tmp_path)
    byte = tiles(scenes, to, bands=("a",), dtype="uint8", nodata=0, size=64)[0]
    classes = tiles(scenes, to, classes=(LabelClass(name="low"), LabelClass(name="high")), size=64)[0]
    ones = np.ones((64, 64))
    for tile, values, message in (
        (byte, ones * 256, "a map of uint8 cannot hold 256"),
        (byte, ones * -1, "a map of uint8 cannot hold -1"),
        (byte, ones / 2, "cannot hold fractions"),
        (byte, np.ones((2, 64, 64)), "a tile needs"),
        (byte, np.ones((64, 60)), "a tile needs"),
        (byte, ones.astype(complex), "are no numbers"),
        (classes, ones * 2, "the values 2.0 are no class: there are 0, 1"),
    ):
        with pytest.raises(PipelineError, match=message):
            tile.encode(values)
    holes = byte.encode(np.where(np.eye(64), np.nan, 7), np.tri(64, dtype=bool)).map.pixels()[0]
    assert np.array_equal(holes, np.tri(64, k=-1) * 7)


def test_plans_that_are_no_map_are_refused(scenes: Scenes, tmp_path: Path) -> None:
    to = output(tmp_path)
    for fields, message in (
        ({}, "either bands or classes"),
        ({"bands": ("a",), "classes": (LabelClass(name="x"),)}, "either bands or classes"),
        ({"bands": ("a",), "size": 100}, "size: 100 is not a multiple of output.blocksize, 64"),
        ({"bands": ("a",), "dtype": "int64"}, "dtype: int64 is none of"),
        ({"bands": ("a",), "dtype": "uint8"}, "nodata: a map of uint8 needs a number from 0 to 255"),
    ):
        with pytest.raises(PipelineError, match=message):
            tiles(scenes, to, **fields)  # type: ignore[arg-type]
    planned = tiles(scenes, to, bands=("a",))
    with pytest.raises(PipelineError, match=r"the array has the shape \(3, 3\); the map has 300 x 210 pixels"):
        publish_map(np.ones((3, 3)), planned, scenes, to, lineage=LINEAGE)
    with pytest.raises(TaskFailed, match="no pixel of the map is valid"):
        publish_map(np.full((300, 210), np.nan), planned, scenes, to, lineage=LINEAGE)
    assert not (tmp_path / "map").exists()
