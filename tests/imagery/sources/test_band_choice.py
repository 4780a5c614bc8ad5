"""Band selections that would read other pixels than the model expects are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.imagery.sources.find import find, find_each, find_sheets
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items

ONE = np.ones((1, 4, 4), np.uint16)
TWO = np.ones((2, 4, 4), np.uint16)


@pytest.mark.parametrize("look", [find, find_sheets, find_each])
def test_one_band_for_several_is_refused_unless_the_spec_says_so(tmp_path: Path, look: object) -> None:
    assert callable(look)
    path = str(write(tmp_path / "grey.tif", ONE))
    with pytest.raises(ImageryError, match=r"grey.tif: band 1 would be read for 2 bands: red, nir") as caught:
        look(FilesImagery(paths=(path,), bands=(1, 1)), ("red", "nir"))
    assert "{band} in place of the band in imagery.paths" in caught.value.remedy
    assert "imagery.repeat_bands: true" in caught.value.remedy
    found = find(FilesImagery(paths=(path,), bands=(1, 1), repeat_bands=True), ("red", "nir"))
    assert [band.index for band in found.scenes[0].bands] == [1, 1]


def test_names_and_numbers_of_one_band_are_one_band(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tif", TWO, names=("red", "nir")))
    for bands in (("red", "red"), ("red", 1), (2, "NIR")):
        with pytest.raises(ImageryError, match="would be read for 2 bands"):
            find(FilesImagery(paths=(path,), bands=bands), None)
    find(FilesImagery(paths=(path,), bands=(2, "red")), None)


def test_two_names_of_one_asset_are_one_band(tmp_path: Path) -> None:
    assets = {}
    for key, name in (("B04", "red"), ("B08", "nir")):
        href = str(write(tmp_path / f"{key}.tif", ONE))
        assets[key] = {"href": href, "bands": [{"name": key, "eo:common_name": name}]}
    catalog = write_items(tmp_path, make_item("a", assets))
    with pytest.raises(ImageryError, match="band 1 would be read for 2 bands: B04, red"):
        find(StacImagery(catalog=catalog, bands=("B04", "red")), None)
    with pytest.raises(ImageryError, match=r"imagery.bands: 'nir' would be read for the model's band 'red'"):
        find(StacImagery(catalog=catalog, bands=("nir", "red")), ("red", "nir"))
    find(StacImagery(catalog=catalog, bands=("B04", "nir")), ("red", "nir"))


def test_a_band_with_the_name_of_another_of_the_models_is_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tif", TWO, names=("nir", "red")))
    for names in (None, ("nir", "red")):
        with pytest.raises(ImageryError, match=r"a.tif: band 1, 'nir', would be read for the model's band 'red'"):
            find(FilesImagery(paths=(path,), bands=(1, 2), names=names), ("red", "nir"))
    with pytest.raises(ImageryError, match=r"imagery.bands: 'NIR' would be read for the model's band 'red'") as caught:
        find(FilesImagery(paths=(path,), bands=("NIR", "red")), ("red", "nir"))
    assert "in the model's order (red, nir)" in caught.value.remedy
    right = find(FilesImagery(paths=(path,), bands=(2, 1)), ("red", "nir"))
    assert [band.index for band in right.scenes[0].bands] == [2, 1]
    corrected = find(FilesImagery(paths=(path,), names=("red", "nir")), ("red", "nir"))
    assert [band.index for band in corrected.scenes[0].bands] == [1, 2]


def test_files_whose_names_are_of_different_bands_are_no_scenes_of_one(tmp_path: Path) -> None:
    for code in ("B04", "B08"):
        write(tmp_path / f"T32TNT_20240601T100031_{code}_10m.tif", ONE)
    paths = (str(tmp_path / "*.tif"),)
    for imagery in (FilesImagery(paths=paths), FilesImagery(paths=paths, bands=(1,))):
        with pytest.raises(ImageryError, match=r"_B04_10m.tif is band B4 and .*_B08_10m.tif is band B8"):
            find(imagery, ("red",))
    assert len(find(FilesImagery(paths=paths, names=("red",)), ("red",)).scenes) == 2  # as with two sensors


def test_a_file_whose_name_is_of_another_band_than_the_models_is_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "T32TNT_20240601T100031_B08_10m.tif", ONE))
    with pytest.raises(ImageryError, match="is band B8 by its name, and would be read for the model's band 'B04'"):
        find(FilesImagery(paths=(path,)), ("B04",))
    find(FilesImagery(paths=(path,)), ("B08",))
    find(FilesImagery(paths=(path,), names=("B04",)), ("B04",))


def test_a_file_of_another_part_of_the_spectrum_is_refused_or_noted_when_the_spec_names_it(tmp_path: Path) -> None:
    path = str(write(tmp_path / "T32TNT_20240601T100031_B08_10m.tif", ONE))
    for imagery in (FilesImagery(paths=(path,)), FilesImagery(paths=(path,), bands=(1,))):
        with pytest.raises(ImageryError, match="is band B8 by its name, and would be read for the model's band 'red'"):
            find(imagery, ("red",))
    (note,) = find(FilesImagery(paths=(path,), names=("red",)), ("red",)).notes
    assert "B08_10m.tif: band 1 is 'T32TNT_20240601T100031_B08_10m', and is read for the band 'red'" in note
    assert not any("is read for" in note for note in find(FilesImagery(paths=(path,)), ("nir",)).notes)


def test_a_description_that_contradicts_the_spec_is_noted(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tif", TWO, names=("B08", "B04")))
    found = find(FilesImagery(paths=(path,), bands=(1, 2)), ("red", "nir"))
    assert [note for note in found.notes if "is read for" in note] == [
        f"{path}: band 1 is 'B08', and is read for the band 'red': look whether that is meant"
    ]
    assert not find(FilesImagery(paths=(path,), bands=(2, 1)), ("red", "nir")).notes
    one = str(write(tmp_path / "one.tif", ONE, names=("nir",)))
    for imagery in (FilesImagery(paths=(one,), names=("red",)), FilesImagery(paths=(one,), bands=("nir",))):
        assert any("band 1 is 'nir', and is read for the band 'red'" in note for note in find(imagery, ("red",)).notes)


def test_an_item_that_contradicts_its_keys_or_the_spec_is_noted(tmp_path: Path) -> None:
    href = str(write(tmp_path / "one.tif", ONE))
    item = make_item("a", {"red": {"href": href, "bands": [{"name": "B08", "eo:common_name": "nir"}]}})
    catalog = write_items(tmp_path, item)
    found = find(StacImagery(catalog=catalog), ("red",))
    assert "asset red is 'B08', and is read for the band 'red': look whether that is meant" in found.notes
    chosen = find(StacImagery(catalog=catalog, bands=("B08",)), ("red",))
    assert (
        "what imagery.bands names is 'B08', and is read for the band 'red': look whether that is meant" in chosen.notes
    )
