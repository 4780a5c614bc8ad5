"""Writes: errors name the file and the free space, other errors pass."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from swath.errors import TaskFailed
from swath.storage.durable_write import checksum, sync, writing


class LibraryError(Exception):
    pass


def test_an_error_of_the_disk_or_of_the_named_library_says_file_and_space(tmp_path: Path) -> None:
    with (
        pytest.raises(TaskFailed, match=r"a\.tif could not be written: full \(\d+ bytes are free in"),
        writing(tmp_path / "a.tif"),
    ):
        raise OSError("full")
    with (
        pytest.raises(TaskFailed, match=r"a\.tif could not be written: bad"),
        writing(tmp_path / "a.tif", LibraryError),
    ):
        raise LibraryError("bad")


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(LibraryError), writing(tmp_path / "a.tif"):
        raise LibraryError


def test_a_missing_folder_is_named_by_the_one_above_it(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=f"bytes are free in {tmp_path}"), writing(tmp_path / "no" / "a.tif"):
        (tmp_path / "no" / "a.tif").write_text("x")


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    sync(tmp_path / "a")
    sync(tmp_path)
    assert checksum(tmp_path / "a") == hashlib.sha256(data).hexdigest()
