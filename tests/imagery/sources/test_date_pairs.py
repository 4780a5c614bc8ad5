"""Two dates as one: every scene of one with every scene of the other that it intersects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.date_pairs import find_date_pairs
from swath.spec.fields.imagery import FilesImagery, Mask
from tests.imagery.rasters import write

BANDS = ("red before", "red after")


def imagery(*paths: Path, **options: Any) -> FilesImagery:
    return FilesImagery(paths=tuple(map(str, paths)), bands=(1,), **options)


def scene(folder: Path, name: str, value: int, at: tuple[float, float] = (500_000, 5_000_000)) -> Path:
    pixels = np.full((1, 4, 4), value, np.uint8)
    pixels[0, 0, value % 4] = 0
    return write(folder / f"{name}.tif", pixels, nodata=0, at=at)


def test_a_pixel_has_the_bands_of_both_dates_and_is_valid_where_both_are(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "a", 5), scene(tmp_path, "b", 6)
    found = find_date_pairs(imagery(before), imagery(after), BANDS)
    assert [each.id for each in found.scenes] == ["a and b"]
    pixels, valid = read_mosaic(found, Window(0, 0, 4, 4))
    assert found.bands == BANDS
    assert valid[0].tolist() == [True, False, False, True]
    assert pixels[:, 1, 1].tolist() == [5, 6]


def test_only_scenes_that_intersect_are_paired(tmp_path: Path) -> None:
    far = (500_400, 5_000_000)
    before = imagery(scene(tmp_path, "a", 1), scene(tmp_path, "b", 2, far))
    after = imagery(scene(tmp_path, "c", 3), scene(tmp_path, "d", 4, far))
    assert [each.id for each in find_date_pairs(before, after, BANDS).scenes] == ["a and c", "b and d"]


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    one, other = scene(tmp_path, "a", 1), scene(tmp_path, "b", 2)
    far = scene(tmp_path, "c", 3, (900_000, 5_000_000))
    with pytest.raises(ImageryError, match="takes 1 bands"):
        find_date_pairs(imagery(one), imagery(other), ("red",))
    with pytest.raises(ImageryError, match="the two dates do not intersect"):
        find_date_pairs(imagery(one), imagery(far), BANDS)
    with pytest.raises(ImageryError, match=r"imagery\.mosaic: before has first, after has last"):
        find_date_pairs(imagery(one), imagery(other, mosaic="last"), BANDS)
    with pytest.raises(ImageryError, match=r"imagery\.mask"):
        find_date_pairs(imagery(one, mask=Mask(band="1", kind="scl")), imagery(other), BANDS)
