"""What became of what: right to the pixel and to the square metre, whatever the grids, the regions and the classes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod
from rasterio.transform import from_origin

from swath.change.transitions import (
    NODATA,
    MapState,
    RegionComparison,
    StatePair,
    Transition,
    TransitionRow,
    area_matrix,
    compare_region,
    find_pair,
    transition_legend,
    transition_rows,
    transitions_csv,
)  # fmt: skip
from swath.errors import AreaError, ImageryError
from swath.maps.cog.cog import write_cog
from swath.maps.layout import MapLayout, byte_layout, plan_sheets
from swath.maps.region_result import FileParts
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import ExpressionLabels, LabelClass
from swath.spec.fields.output import Output

LAND_WATER = (LabelClass(name="land"), LabelClass(name="water"))


def raster(path: Path, values: NDArray[Any], *, crs: str | None = "EPSG:32633", origin: tuple[float, float] = (5e5, 5e6),
           size: float = 10, nodata: float | None = None) -> str:  # fmt: skip
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype, crs=crs,
        transform=from_origin(*origin, size, size), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return str(path)


def pair_of(before: str, after: str, classes: tuple[LabelClass, ...] = LAND_WATER, **options: Any) -> StatePair:
    settings: dict[str, Any] = {"rule": None, "classes": classes, "area": None, "grid": None}
    return find_pair((MapState("then", before), MapState("now", after)), **settings | options)


def compared(pair: StatePair, region: int = 64) -> tuple[NDArray[np.uint8], list[RegionComparison]]:
    """The change map (height, width) and what the calls made."""
    output = Output(to="unused", blocksize=64)
    regions = plan_sheets((pair.scenes,), None, output, region)
    form: MapLayout = byte_layout(regions, output, NODATA)
    made = [compare_region(each, pair, form) for each in regions]
    whole = np.full(pair.scenes.image.shape, NODATA, np.uint8)
    for each in made:
        whole[each.map.window.roi] = each.map.pixels()[0]
    return whole, made


def table(pair: StatePair, region: int = 64) -> tuple[TransitionRow, ...]:
    return transition_rows(compared(pair, region)[1], pair)


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


def test_the_second_map_comes_onto_the_pixels_of_the_first_by_the_nearest_and_the_notes_say_so(tmp_path: Path) -> None:
    before = np.zeros((100, 100), np.uint8)
    after = np.zeros((40, 40), np.uint8)
    after[10:20, 10:20] = 1
    one = raster(tmp_path / "before.tif", before)
    other = raster(tmp_path / "after.tif", after, origin=(5e5 + 107, 5e6 - 107), size=20)
    pair = pair_of(one, other)
    assert "after (20 in EPSG:32633): brought onto the pixels of before by the nearest" in pair.scenes.notes
    # Only what both cover is mapped, on the first one's pixels.
    assert pair.scenes.image.affine == rasterio.Affine(10, 0, 5e5 + 100, 0, -10, 5e6 - 100)
    assert pair.scenes.image.shape == (81, 81)
    values, _ = compared(pair)
    rows, columns = np.nonzero(values == 1)
    # 200 m from 307 m on: the pixels whose centres are inside.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (21, 40, 21, 40)
    other = raster(tmp_path / "zone.tif", after, crs="EPSG:32634", origin=(5e5, 5e6))
    with pytest.raises(AreaError, match="do not meet"):
        pair_of(one, other)


def test_classes_are_matched_by_name_not_by_value(tmp_path: Path) -> None:
    """Two maps of predict may number their classes differently."""
    paths = []
    for name, classes in {"a": {0: "land", 1: "water"}, "b": {3: "water", 7: "land", 9: "ice"}}.items():
        values = np.full((64, 64), {"a": 1, "b": 7}[name], np.uint8)
        values[:8] = {"a": 1, "b": 3}[name]
        values[-8:] = {"a": 0, "b": 9}[name]
        paths.append(raster(tmp_path / f"{name}.tif", values, nodata=255))
        with rasterio.open(paths[-1], "r+") as file:
            file.update_tags(1, CLASSES=json.dumps(classes))
    pair = pair_of(paths[0], paths[1], classes=())
    assert [each.name for each in pair.classes] == ["land", "water", "ice"]
    names = {row.transition.name: row.pixels for row in table(pair)}
    assert names == {"land -> ice": 8 * 64, "water -> land": 48 * 64, "still water": 8 * 64}


def test_a_rule_over_bands_makes_the_states_and_where_it_is_no_number_nothing_is_known(tmp_path: Path) -> None:
    bands = np.zeros((2, 64, 64), np.uint8)
    bands[0, :, 10:] = 50
    bands[1, :, 40:] = 200
    paths = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.tif"
        with rasterio.open(path, "w", driver="GTiff", height=64, width=64, count=2, dtype="uint8", crs="EPSG:32633",
                           transform=from_origin(5e5, 5e6, 10, 10)) as file:  # fmt: skip
            file.write(bands)
        bands[1, :, 20:] = 200
        paths.append(FilesImagery(paths=(str(path),), names=("green", "nir")))
    rule = ExpressionLabels(expression="(green - nir) / (green + nir) > 0", label="water", otherwise="land")
    states = MapState("", imagery=paths[0]), MapState("", imagery=paths[1])
    pair = find_pair(states, rule, (LabelClass(name="water", color="#0000ff"),), None, None)
    assert pair.names == ("a", "b")
    values, made = compared(pair)
    assert (values[:, :10] == NODATA).all()
    assert {row.transition.name: row.pixels // 64 for row in transition_rows(made, pair)} == {
        "still land": 24, "water -> land": 20, "still water": 10,
    }  # fmt: skip
    assert pair.classes[1].color == (0, 0, 255)


def test_table_and_csv_say_the_same(tmp_path: Path) -> None:
    before, after = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    after[:16] = 1
    pair = pair_of(raster(tmp_path / "a.tif", before, crs=None), raster(tmp_path / "b.tif", after, crs=None))
    rows = table(pair)
    assert [row.hectares for row in rows] == [None, None]
    assert transitions_csv(rows).splitlines() == [
        "value,from,to,pixels,hectares,percent", "0,land,land,3072,,75.0000", "1,land,water,1024,,25.0000",
    ]  # fmt: skip
    assert area_matrix(rows, pair) == {
        "unit": "pixels", "from": "then", "to": "now", "classes": ["land", "water"], "rows": [[3072.0, 1024.0], [0.0, 0.0]],
    }  # fmt: skip


def test_what_cannot_be_compared_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", np.zeros((64, 64), np.uint8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageryError, match="what its values mean"):
        pair_of(path, path, classes=())
    with pytest.raises(ImageryError, match="16 classes together"):
        pair_of(path, path, classes=tuple(LabelClass(name=str(n)) for n in range(16)))
    with pytest.raises(ImageryError, match="no map is published there"):
        pair_of(path, str(tmp_path / "empty"))
    with pytest.raises(ImageryError, match="no transition is called 'water'"):
        pair_of(path, path, background=("water",))


def test_the_map_of_the_most_classes_is_a_cog_with_the_names_of_its_transitions(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8)[:225].repeat(64).reshape(225, 64)
    paths = [raster(tmp_path / f"{n}.tif", each) for n, each in enumerate((values // 15, values % 15))]
    pair = pair_of(paths[0], paths[1], classes=tuple(LabelClass(name=f"c{n}") for n in range(15)))
    output = Output(to="unused", blocksize=64)
    regions = plan_sheets((pair.scenes,), None, output, 64)
    form = byte_layout(regions, output, NODATA)
    made = [compare_region(each, pair, form) for each in regions]
    rows = transition_rows(made, pair)
    assert [row.transition.value for row in rows] == list(range(225))
    facts = write_cog(
        tmp_path / "change.tif",
        FileParts.of(made, "map", regions, 0),
        regions.sheets[0],
        form.encoding,
        classes=transition_legend(rows),
    )
    assert (facts.nodata, facts.valid) == (NODATA, 225 * 64)
    with rasterio.open(tmp_path / "change.tif") as file:
        assert np.array_equal(file.read(1), values)


def test_every_transition_has_a_name_of_its_own_and_what_stays_is_paler() -> None:
    from swath.maps.legend import legend_from_classes

    classes = legend_from_classes(LAND_WATER)
    every = [Transition(one, other, 2) for one in classes for other in classes]
    assert len({each.name for each in every}) == len({each.color for each in every}) == 4
    assert sum(every[3].color) > sum(every[1].color)
