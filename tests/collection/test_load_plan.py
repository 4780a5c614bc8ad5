"""Imagery in a collection: exact, valid, and loaded once only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.crs import CRS

from swath.collection.inventory import read_inventory
from swath.errors import ImageryError
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.collection.loads import RGB, RGBN, SCENE, area_of, digests, files, load, plan
from tests.imagery.rasters import write


def test_only_what_is_new_or_changed_is_loaded_and_all_else_keeps_its_bytes(tmp_path: Path, shared: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "kept"
    source.mkdir()
    years = ("20100629", "20120731", "20140720")

    def add(year: str) -> None:
        (source / f"{year}.tif").write_bytes((shared / f"data/imagery/naip_nd_{year}.tif").read_bytes())

    imagery = files(source / "*.tif", names=RGBN)
    add(years[0])
    add(years[1])
    assert load(folder, imagery).about["numbers"]["images loaded"] == 2
    first = digests(folder)

    add(years[2])
    assert [image.id for image in plan(folder, imagery).new] == [years[2]]
    load(folder, imagery)
    second = digests(folder)
    same = set(first) - {"collection.json"}
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert len(second) == 3 * 5 + 1

    # A broken file is found by its checksum, a changed source by its stamp; what is not asked for now stays.
    broken = folder / f"{years[0]}-red.tif"
    data = bytearray(broken.read_bytes())
    data[-100] ^= 1
    broken.write_bytes(data)
    os.utime(source / f"{years[1]}.tif", ns=(1, 1))
    (source / f"{years[2]}.tif").unlink()
    loading = plan(folder, imagery)
    assert [image.id for image in loading.new] == [years[0], years[1]]
    assert years[0] in loading.notes[0]
    load(folder, imagery)
    assert digests(folder)[broken.name] == first[broken.name]
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    assert [item.id for item in collection.get_items()] == list(years)
    assert not plan(folder, imagery).new


def test_scenes_of_two_zones_come_onto_one_grid_or_keep_their_own(tmp_path: Path, shared: Path) -> None:
    source = StacImagery(
        catalog=str(shared / "data/stac/catalog.json"), bands=("red",), ids=(SCENE, "S2A_29RKH_as_28N_derived")
    )
    load(tmp_path / "one", source)
    load(tmp_path / "own", source, grid=GridSpec(zones=True))

    def grids(name: str) -> set[str]:
        return {item.properties["proj:code"] for item in pystac.Collection.from_file(
            str(tmp_path / name / "collection.json")).get_items()}  # fmt: skip

    assert len(grids("one")) == 1
    assert grids("own") == {"EPSG:32628", "EPSG:32629"}
    assert not plan(tmp_path / "own", source, grid=GridSpec(zones=True)).new
    with pytest.raises(ImageryError, match="grids of their own"):
        plan(tmp_path / "own", source)


def test_what_does_not_go_together_is_refused(tmp_path: Path, shared: Path) -> None:
    folder = tmp_path / "kept"
    imagery = files(shared / "data/imagery/bahamas_rgb.tif", names=RGB)
    load(folder, imagery, area=area_of(-78.0, 24.4, -77.9, 24.5))
    cases: list[tuple[str, FilesImagery, dict[str, Any]]] = [
        ("holds the bands", imagery.model_copy(update={"bands": ("red",)}), {}),
        ("holds the units", imagery, {"physical": True}),
        ("the collection has pixels of 300.038", imagery, {"grid": GridSpec(resolution=600)}),
        ("holds the units numbers", imagery, {"composite": "median"}),
        ("a composite has one grid", imagery, {"grid": GridSpec(zones=True), "composite": "first"}),
    ]
    for message, asked, options in cases:
        with pytest.raises(ImageryError, match=message):
            plan(folder, asked, **options)
    other = tmp_path / "other"
    other.mkdir()
    (other / "collection.json").write_text(json.dumps({"links": []}))
    with pytest.raises(ImageryError, match="is not a collection of loaded imagery"):
        read_inventory(str(other))


def test_numbers_that_mean_different_things_make_no_composite_but_their_physical_values_do(tmp_path: Path) -> None:
    for name, scale in (("a", 0.1), ("b", 0.2)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8",
            crs=CRS.from_epsg(32633), transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10),
        ) as file:  # fmt: skip
            file.write(np.full((1, 64, 64), 100, np.uint8))
            file.scales = (scale,)
    imagery = files(tmp_path / "a.tif", tmp_path / "b.tif")
    with pytest.raises(ImageryError, match="different physical values"):
        plan(tmp_path / "kept", imagery, composite="first")
    load(tmp_path / "kept", imagery, composite="first", physical=True)
    with rasterio.open(tmp_path / "kept/composite-1.tif") as file:
        assert file.dtypes == ("float32",)
        assert set(np.unique(file.read())) == {np.float32(10)}


@pytest.mark.parametrize("identity", ["collection", "Collection", "CATALOG", "item_collection"])
def test_an_image_with_the_name_of_the_collections_own_file_gets_another(tmp_path: Path, identity: str) -> None:
    write(tmp_path / f"{identity}.tif", np.full((1, 64, 64), 7, np.uint8), nodata=0)
    loading = plan(tmp_path / "kept", FilesImagery(paths=(str(tmp_path / f"{identity}.tif"),)))
    assert [image.id for image in loading.new] == [f"{identity}-1"]
    assert (
        f"the image {identity} is loaded as {identity}-1: another file of the collection has its name" in loading.notes
    )
    load(tmp_path / "kept", FilesImagery(paths=(str(tmp_path / f"{identity}.tif"),)))
    document = json.loads((tmp_path / "kept/collection.json").read_text())
    assert [link["href"] for link in document["links"] if link["rel"] == "item"] == [f"./{identity}-1.json"]
    again = plan(tmp_path / "kept", FilesImagery(paths=(str(tmp_path / f"{identity}.tif"),)))
    assert (again.new, len(again.kept)) == ((), 1)


def test_no_two_images_share_a_file_whatever_their_ids(tmp_path: Path) -> None:
    ids = ["a", "A", "a/b", "a b", "..", "/", "x" * 400, "x" * 399 + "y"]
    raster = write(tmp_path / "a.tif", np.full((1, 64, 64), 7, np.uint8), nodata=0)
    features = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": identity, "geometry": None, "links": [],
            "properties": {"datetime": "2020-01-01T00:00:00Z"}, "assets": {"one": {"href": str(raster)}},
        }
        for identity in ids
    ]  # fmt: skip
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    imagery = StacImagery(catalog=str(tmp_path / "items.json"), bands=("one",))
    loading = plan(tmp_path / "kept", imagery)
    assert len({image.id.lower() for image in loading.new}) == len(ids)
    assert all(len(image.id) < 120 and "/" not in image.id for image in loading.new)
    assert sum("(400 characters) is loaded as" in note for note in loading.notes) == 2
    load(tmp_path / "kept", imagery)
    assert len(list((tmp_path / "kept").glob("*.tif"))) == len(ids)
