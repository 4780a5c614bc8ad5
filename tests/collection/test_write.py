"""Collections that are written: at an address as in a folder, without files of images that went."""

from __future__ import annotations

from pathlib import Path

import fsspec

from swath.collection.inventory import read_inventory
from swath.collection.load_piece import Pieces, load_piece
from swath.collection.load_plan import plan_load
from swath.collection.write import write_images
from tests.collection.loads import RGB, RGBN, area_of, files, load


def test_files_that_a_changed_image_no_longer_has_are_removed_and_those_kept_are_not(
    tmp_path: Path, shared: Path
) -> None:
    imagery = files(shared / "data/imagery/naip_nd_20120731.tif", names=RGBN)
    load(tmp_path, imagery, sheet=512)
    assert len(list(tmp_path.glob("*-part-*.tif"))) == 4 * 4
    load(tmp_path, imagery)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "collection.json", *(f"naip_nd_20120731{rest}" for rest in ("-blue.tif", "-green.tif", "-nir.tif", "-red.tif", ".json")),
    ]  # fmt: skip


def test_a_collection_at_an_address_is_as_that_in_a_folder_and_is_kept_as_well(tmp_path: Path, shared: Path) -> None:
    imagery = files(shared / "data/imagery/bahamas_rgb.tif", names=RGB)
    area = area_of(-78.0, 24.4, -77.9, 24.5)
    load(tmp_path / "kept", imagery, area=area)
    address = "memory://bucket/kept"
    store = fsspec.filesystem("memory")
    try:
        for loaded in (1, 0):
            loading = plan_load(
                imagery, read_inventory(address), area=area, grid=None, composite=None, physical=False, margin=128,
                blocksize=128, sheet=65536,
            )  # fmt: skip
            assert len(loading.new) == loaded
            pieces = Pieces.of(loading.new, 256, 128)
            write_images([load_piece(piece) for piece in pieces], loading, pieces, address, "kept")
        there = {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls("/bucket/kept", detail=False)}
        assert there == {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    finally:
        store.rm("/bucket", recursive=True)
