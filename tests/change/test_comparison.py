"""Comparison of regions: right to the pixel and to the square metre, whatever the regions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from swath.change.transition_table import (
    transition_rows,
)
from swath.change.transitions import NODATA
from swath.spec.fields.labels import LabelClass
from tests.change.pairs import compared, pair_of, raster, table


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 15), st.sampled_from([64, 128, 256]))
def test_each_pixel_is_from_times_n_plus_to_and_nodata_of_either_is_nodata(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, region: int
) -> None:
    folder, random = tmp_path_factory.mktemp("maps"), np.random.default_rng(seed)
    maps = [random.integers(0, count, (130, 150), dtype=np.uint8) for _ in range(2)]
    for each in maps:
        each[random.random(each.shape) < 0.1] = 200
    paths = [raster(folder / f"{n}.tif", each, nodata=200) for n, each in enumerate(maps)]
    pair = pair_of(paths[0], paths[1], classes=tuple(LabelClass(name=f"c{n}") for n in range(count)))
    known = (maps[0] != 200) & (maps[1] != 200)
    expected = np.where(known, maps[0].astype(int) * count + maps[1], NODATA)
    values, made = compared(pair, region)
    assert np.array_equal(values, expected)
    rows = transition_rows(made, pair)
    assert {row.transition.value: row.pixels for row in rows} == dict(
        zip(*np.unique(expected[known], return_counts=True), strict=True)
    )
    assert math.isclose(sum(row.share for row in rows), 1)


def test_hectares_are_those_on_the_ellipsoid_and_do_not_depend_on_regions(tmp_path: Path) -> None:
    before = np.zeros((200, 300), np.uint8)
    after = before.copy()
    after[20:120, 40:240] = 1
    degrees: dict[str, Any] = {"crs": "EPSG:4326", "origin": (10.0, 60.0), "size": 0.01}
    pair = pair_of(raster(tmp_path / "a.tif", before, **degrees), raster(tmp_path / "b.tif", after, **degrees))
    rows = table(pair, 64)
    assert rows == table(pair, 256)
    (changed,) = (row for row in rows if row.transition.changed)
    west, east, north, south = 10.4, 12.4, 59.8, 58.8
    steps = np.linspace(west, east, 2000)  # a parallel is no geodesic
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(
        [*steps, *steps[::-1]], [south] * len(steps) + [north] * len(steps)
    )
    assert changed.hectares == pytest.approx(area / 1e4, rel=1e-5)
    projected = pair_of(raster(tmp_path / "c.tif", before), raster(tmp_path / "d.tif", after))
    (changed,) = (row for row in table(projected) if row.transition.changed)
    assert changed.hectares == pytest.approx(100 * 200 * 0.01, rel=1e-3)  # UTM's scale is 0.9996 in the middle
