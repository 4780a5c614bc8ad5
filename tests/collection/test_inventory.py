"""Inventories: the images of a collection, with all their files, and no other collection."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from swath.collection.inventory import Inventory, read_inventory, safe_file_name
from swath.errors import ImageryError
from tests.collection.loads import RGB, files, load


def test_a_folder_without_a_collection_has_an_empty_inventory(tmp_path: Path) -> None:
    assert read_inventory(str(tmp_path)) == read_inventory(str(tmp_path / "none")) == Inventory()


def test_an_image_with_a_missing_or_changed_file_is_left_out_with_a_note(tmp_path: Path, shared: Path) -> None:
    load(tmp_path / "kept", files(shared / "data/imagery/bahamas_rgb.tif", names=RGB), region=512)
    found = read_inventory(str(tmp_path / "kept"))
    assert (found.bands, [each.id for each in found.images], found.notes) == (RGB, ["bahamas_rgb"], ())
    image = found.image("bahamas_rgb")
    assert image is not None
    assert {file.name for file in image.files} == {"bahamas_rgb.json", *(f"bahamas_rgb-{name}.tif" for name in RGB)}
    (tmp_path / "kept/bahamas_rgb-red.tif").unlink()
    damaged = read_inventory(str(tmp_path / "kept"))
    assert damaged.images == ()
    assert "bahamas_rgb is not as it was published any more" in damaged.notes[0]


def test_another_collection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text(json.dumps({"links": []}))
    with pytest.raises(ImageryError, match="is not a collection of loaded imagery"):
        read_inventory(str(tmp_path))


def test_names_of_files_hold_letters_digits_and_few_signs() -> None:
    assert [safe_file_name(name) for name in ("B04", "a b/c", "..x..", "ä/ö")] == ["B04", "a-b-c", "x", "image"]


def test_a_pipe_in_place_of_the_collection_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "collection.json")
    with pytest.raises(ImageryError, match="it is a named pipe, not a file"):
        read_inventory(str(tmp_path))
