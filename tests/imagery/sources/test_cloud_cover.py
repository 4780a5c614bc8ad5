"""Least cloud: scenes in the order of their cover, by metadata or by their own mask; equal ones keep their order."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scene, Scenes
from swath.imagery.sources.cloud_cover import rejected_percent, sort_by_cloud_cover
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery, Mask, StacImagery
from tests.imagery.rasters import write

FMASK = Mask(band="fmask", kind="fmask")


def scene(tmp_path: Path, name: str, value: int, cloudy: int, *, unseen: int = 0) -> Path:
    """Ten pixels in a row; the first `unseen` have no quality, the `cloudy` ones after them are clouds."""
    quality = np.zeros((1, 10), np.uint8)
    quality[0, :unseen] = 255
    quality[0, unseen : unseen + cloudy] = 2
    return write(
        tmp_path / f"{name}.tif", np.stack([np.full((1, 10), value, np.uint8), quality]), names=("red", "fmask")
    )


def files(*paths: Path, **spec: Any) -> Scenes:
    return find(FilesImagery(paths=tuple(map(str, paths)), bands=("red",), mosaic="least_cloud", **spec))


def test_the_clearest_scene_wins_whatever_the_order_and_others_fill_its_clouds(tmp_path: Path) -> None:
    paths = [scene(tmp_path, "a", 1, 5), scene(tmp_path, "b", 2, 2), scene(tmp_path, "c", 3, 9, unseen=0)]
    for order in itertools.permutations(paths):
        scenes = files(*order, mask=FMASK)
        assert [(s.id, s.cloud_cover) for s in scenes.scenes] == [("b", 20), ("a", 50), ("c", pytest.approx(90))]
        pixels, valid = read_mosaic(scenes, Window(0, 0, 1, 10))
        assert pixels[0, 0].tolist() == [0, 0, *[2] * 8]
        assert valid.sum() == 8


def test_pixels_without_a_quality_count_for_neither_side(tmp_path: Path) -> None:
    scenes = files(scene(tmp_path, "a", 1, 2, unseen=6), scene(tmp_path, "b", 2, 4), mask=FMASK)
    assert [(s.id, s.cloud_cover) for s in scenes.scenes] == [("b", 40), ("a", 50)]
    assert rejected_percent(files(scene(tmp_path, "c", 1, 0, unseen=10), mask=FMASK).scenes[0], FMASK) is None


def test_equal_cover_keeps_the_order_and_what_is_not_known_comes_last_and_is_told() -> None:
    scenes = tuple(
        Scene(name, (), cloud_cover=cover) for name, cover in zip("abcde", (9, None, 3, 9, None), strict=True)
    )
    notes: list[str] = []
    assert [s.id for s in sort_by_cloud_cover(scenes, None, notes)] == ["c", "a", "d", "b", "e"]
    assert notes == ["the cloud cover of these scenes is not known, so they come last: b, e"]


def test_metadata_is_taken_before_any_look_at_pixels(shared: Path) -> None:
    spec = StacImagery(
        catalog=str(shared / "data/stac/catalog.json"), bands=("red",), mosaic="least_cloud",
        mask=Mask(band="qa_pixel", kind="qa_pixel"), datetime="2019/2020-12", ids=(
            "LC08_L2SP_001062_20201031_20201106_02_T2", "LC08_L2SP_008059_20191201_20200825_02_T1",
        ),
    )  # fmt: skip
    assert [s.cloud_cover for s in find(spec).scenes] == [81.02, 99.94]


def test_the_share_of_a_real_scene_is_that_of_its_flags(shared: Path) -> None:
    folder = shared / "data/stac/LC08_L2SP_008059_20191201_20200825_02_T1"
    mask = Mask(band="qa_pixel", kind="qa_pixel", reject=("cloud",))
    spec = StacImagery(catalog=str(folder / f"{folder.name}.json"), bands=("red",), mask=mask)
    with rasterio.open(folder / "QA_PIXEL.tif") as file:
        flags = file.read(1)
    seen = flags & 1 == 0
    assert rejected_percent(find(spec).scenes[0], mask) == pytest.approx(100 * (flags[seen] & 8 > 0).mean())
