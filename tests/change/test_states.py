"""States: the second comes onto the pixels of the first, and classes are matched by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from swath.change.states import MapState, find_pair
from swath.change.transition_table import (
    transition_rows,
)
from swath.change.transitions import NODATA
from swath.errors import AreaError, ImageryError
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import ExpressionLabels, LabelClass
from tests.change.pairs import compared, pair_of, raster, table


def test_the_second_map_comes_onto_the_pixels_of_the_first_by_the_nearest_and_the_notes_say_so(tmp_path: Path) -> None:
    before = np.zeros((100, 100), np.uint8)
    after = np.zeros((40, 40), np.uint8)
    after[10:20, 10:20] = 1
    one = raster(tmp_path / "before.tif", before)
    other = raster(tmp_path / "after.tif", after, origin=(5e5 + 107, 5e6 - 107), size=20)
    pair = pair_of(one, other)
    assert "after (20 in EPSG:32633): resampled onto the pixels of before by nearest neighbour" in pair.scenes.notes
    # Only what both cover is mapped, on the first one's pixels.
    assert pair.scenes.image.affine == rasterio.Affine(10, 0, 5e5 + 100, 0, -10, 5e6 - 100)
    assert pair.scenes.image.shape == (81, 81)
    values, _ = compared(pair)
    rows, columns = np.nonzero(values == 1)
    # 200 m from 307 m on: the pixels whose centres are inside.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (21, 40, 21, 40)
    other = raster(tmp_path / "zone.tif", after, crs="EPSG:32634", origin=(5e5, 5e6))
    with pytest.raises(AreaError, match="do not overlap"):
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


@pytest.mark.parametrize(
    ("after", "names", "notes"),
    [
        ({0: "Land", 1: "WATER"}, ["land", "water"], 0),
        ({0: "Land", 1: "land"}, ["land", "water", "Land"], 0),  # two classes of one map stay two
        ({0: "forest", 1: "ice"}, ["land", "water", "forest", "ice"], 1),
    ],
)
def test_names_that_differ_in_case_are_one_class_and_maps_without_a_common_one_are_noted(
    tmp_path: Path, after: dict[int, str], names: list[str], notes: int
) -> None:
    paths = []
    for name, classes in {"a": {0: "land", 1: "water"}, "b": after}.items():
        paths.append(raster(tmp_path / f"{name}.tif", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 2))
        with rasterio.open(paths[-1], "r+") as file:
            file.update_tags(1, CLASSES=json.dumps(classes))
    pair = pair_of(paths[0], paths[1], classes=())
    assert [each.name for each in pair.classes] == names
    assert sum("no class in common" in note for note in pair.scenes.notes) == notes


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
