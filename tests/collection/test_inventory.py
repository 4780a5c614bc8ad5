"""Inventories: the images of a collection, with all their files, and no other collection."""

from __future__ import annotations

import hashlib
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


@pytest.mark.parametrize("href", ["../other.json", "/etc/hostname", "http://127.0.0.1:1/item.json"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, href: str) -> None:
    document = {
        "links": [{"rel": "item", "href": href}],
        "swath:bands": ["red"],
        "swath:units": "dn",
        "swath:grid": None,
    }
    (tmp_path / "collection.json").write_text(json.dumps(document))
    with pytest.raises(ImageryError, match="is not a file beside it"):
        read_inventory(str(tmp_path))


def test_an_image_with_a_file_outside_of_the_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "other.tif").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    asset = {"href": "../other.tif", "file:size": 1, "file:checksum": f"1220{digest}"}
    item = {"id": "a", "properties": {"swath:source": "s"}, "assets": {"red": asset}}
    document = {
        "links": [{"rel": "item", "href": "./a.json"}],
        "swath:bands": ["red"],
        "swath:units": "dn",
        "swath:grid": None,
    }
    (tmp_path / "kept/collection.json").write_text(json.dumps(document))
    (tmp_path / "kept/a.json").write_text(json.dumps(item))
    found = read_inventory(str(tmp_path / "kept"))
    assert (found.images, len(found.notes)) == ((), 1)


@pytest.mark.parametrize(
    "document",
    ["[" * 100_000, "[]", '{"links": 1}', '{"links": [{"rel": "item", "href": "./a"}], "swath:bands": 1}',
     '{"links": [], "swath:bands": [], "swath:units": "dn", "swath:grid": {"transform": [1, 2], "crs": 1}}',
     '{"links": [], "swath:bands": [], "swath:units": "dn", "swath:grid": {"transform": [1, 0, 0, 0, 1, 0], "crs": "x"}}'],
)  # fmt: skip
def test_a_collection_of_another_form_is_an_error_with_its_folder(tmp_path: Path, document: str) -> None:
    (tmp_path / "collection.json").write_text(document)
    with pytest.raises(ImageryError, match=str(tmp_path)):
        read_inventory(str(tmp_path))


def test_names_of_files_hold_letters_digits_and_few_signs() -> None:
    assert [safe_file_name(name) for name in ("B04", "a b/c", "..x..", "ä/ö")] == ["B04", "a-b-c", "x", "image"]


def test_a_pipe_in_place_of_the_collection_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "collection.json")
    with pytest.raises(ImageryError, match="it is a named pipe, not a file"):
        read_inventory(str(tmp_path))
