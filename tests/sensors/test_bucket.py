"""Sensor `bucket`: objects of a store, here one in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from swath.sensors.bucket import look
from swath.triggers.look import Look
from swath.triggers.trigger import BucketSensor


@pytest.fixture
def store(tmp_path: Path) -> Any:
    files = fsspec.filesystem("memory")
    files.pipe_file("/sensors/in/a.tif", b"123")
    files.pipe_file("/sensors/in/deep/b.tif", b"1")
    files.pipe_file("/sensors/in/notes.txt", b"1")
    yield files
    files.rm("/sensors", recursive=True)


def looked(folder: Path, **fields: Any) -> Look:
    return look(
        BucketSensor(**{"url": "memory://sensors/in", "names": "*.tif", "spec": str(folder / "s"), **fields}),
        None,
        0,
        folder,
    )


def test_objects_that_match_are_found_with_their_values(store: Any, tmp_path: Path) -> None:
    found = looked(tmp_path)
    assert [each.key for each in found.found] == ["/sensors/in/a.tif", "/sensors/in/deep/b.tif"]
    assert found.found[0].values["size"] == 3
    assert found.found[0].values["stem"] == "a"
    assert found.text == "2 objects match, of 3"


def test_an_object_that_was_written_again_is_another_one_where_that_is_wanted(store: Any, tmp_path: Path) -> None:
    before = [looked(tmp_path, on=on).found[0].key for on in ("new", "change")]
    store.pipe_file("/sensors/in/a.tif", b"12345")
    after = [looked(tmp_path, on=on).found[0].key for on in ("new", "change")]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_an_empty_place_is_no_error(tmp_path: Path) -> None:
    assert looked(tmp_path, url="memory://sensors/nothing").found == ()
