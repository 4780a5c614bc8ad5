"""Sensor `files`: what matches, once nobody writes to it any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from swath.sensors.files import look
from swath.triggers.look import Look
from swath.triggers.trigger import FilesSensor

NOW = 1_800_000_000.0


def put(file: Path, age_s: float, text: str = "x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (NOW - age_s, NOW - age_s))
    return file


def looked(folder: Path, **fields: Any) -> Look:
    return look(FilesSensor(**{"paths": "in/**/*.tif", "spec": str(folder / "s.yaml"), **fields}), None, NOW, folder)


def test_files_that_match_are_found_with_their_values(tmp_path: Path) -> None:
    file = put(tmp_path / "in/deep/a b.tif", 100)
    put(tmp_path / "in/notes.txt", 100)
    (tmp_path / "in/folder.tif").mkdir()
    (found,) = looked(tmp_path).found
    assert found.key == "in/deep/a b.tif"
    assert found.values == {
        "path": str(file),
        "name": "a b.tif",
        "stem": "a b",
        "size": 1,
        "modified": "2027-01-15T07:58:20Z",
    }


def test_a_file_that_is_being_written_waits(tmp_path: Path) -> None:
    put(tmp_path / "in/a.tif", 59)
    found = looked(tmp_path, quiet=60)
    assert found.found == ()
    assert found.text == "1 files were changed a moment ago"


def test_a_changed_file_is_another_one_where_that_is_wanted(tmp_path: Path) -> None:
    keys = []
    for age in (300, 200):
        put(tmp_path / "in/a.tif", age)
        keys += [looked(tmp_path).found[0].key, looked(tmp_path, on="change").found[0].key]
    assert keys[0] == keys[2] == "in/a.tif"
    assert keys[1] != keys[3]
