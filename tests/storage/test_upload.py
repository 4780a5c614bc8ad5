"""Uploads: the object appears whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import fsspec
import pytest

from swath.errors import TaskFailed
from swath.storage.upload import Upload


@pytest.fixture
def bucket() -> Iterator[str]:
    yield "memory://uploads"
    files = fsspec.filesystem("memory")
    if files.exists("/uploads"):
        files.rm("/uploads", recursive=True)


def test_chunks_become_one_object_with_their_checksum(bucket: str) -> None:
    upload = Upload(f"{bucket}/a.tif")
    upload.send([b"ab", memoryview(b"cd"), b""])
    assert fsspec.filesystem("memory").cat("/uploads/a.tif") == b"abcd"
    assert (upload.size, upload.sha256) == (4, hashlib.sha256(b"abcd").hexdigest())


def test_the_error_of_a_chunk_that_cannot_be_made_passes_as_it_is(bucket: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise RuntimeError("the third tile")

    with pytest.raises(RuntimeError, match="the third tile"):
        Upload(f"{bucket}/a.tif").send(chunks())


def test_a_store_that_refuses_is_an_error_that_names_the_object(bucket: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise OSError("no such bucket")

    with pytest.raises(TaskFailed, match=r"uploads/a\.tif could not be written: no such bucket"):
        Upload(f"{bucket}/a.tif").send(chunks())
