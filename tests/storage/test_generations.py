"""Copies below an address: which one counts when some are torn, changed, of another key, or of an attempt that was given up."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from swath.errors import InfrastructureError, StateError
from swath.storage.attempts import Attempts
from swath.storage.generations import Generation, Generations

KEY = b"k" * 32
ONCE = Attempts(requests=1)


@pytest.fixture
def address() -> str:
    return f"memory://bucket-{uuid.uuid4().hex}/journals/lake"


def written(address: str, tmp_path: Path, *ranks: tuple[int, int]) -> Generations:
    copies = Generations(address, KEY, attempts=ONCE)
    for rank in ranks:
        file = tmp_path / "source"
        file.write_text(f"the journal of {rank}" * 100)
        copies.add(Generation(*rank), file)
    return copies


def fetched(copies: Generations, tmp_path: Path) -> str:
    """What the newest copy that is whole has."""
    for each in copies.listed():
        if copies.fetch(each, tmp_path / "target"):
            return (tmp_path / "target").read_text()[: len("the journal of (1, 1)")]
        assert not (tmp_path / "target").exists()
    return ""


def test_the_newest_copy_of_the_latest_attempt_counts_though_an_earlier_attempt_still_writes(
    address: str, tmp_path: Path
) -> None:
    copies = written(address, tmp_path, (1, 8), (2, 1), (2, 2), (1, 9), (1, 10))
    assert fetched(copies, tmp_path) == "the journal of (2, 2)"
    copies.remove_below(Generation(1, 10), 0)  # as the earlier attempt does
    assert copies.listed() == [Generation(2, 2), Generation(2, 1), Generation(1, 10)]
    copies.remove_below(Generation(2, 2), 1)
    assert copies.listed() == [Generation(2, 2), Generation(2, 1)]
    assert fetched(Generations(f"{address}-other", KEY), tmp_path) == ""


def torn(data: bytes) -> bytes:
    return data[:-1]


def empty(data: bytes) -> bytes:
    return b""


def changed(data: bytes) -> bytes:
    return data[:50] + bytes([data[50] ^ 1]) + data[51:]


def short(data: bytes) -> bytes:
    return data[:20]


@pytest.mark.parametrize("damage", [torn, empty, changed, short])
def test_a_copy_that_is_not_whole_is_passed_over(address: str, tmp_path: Path, damage: Any) -> None:
    copies = written(address, tmp_path, (1, 1), (1, 2))
    name = f"{address}/{Generation(1, 2).name}"
    files = fsspec.filesystem("memory")
    files.pipe_file(name, damage(files.cat_file(name)))
    assert fetched(copies, tmp_path) == "the journal of (1, 1)"


def test_no_copy_stands_in_the_place_of_another_one_of_another_run_or_of_another_key(
    address: str, tmp_path: Path
) -> None:
    copies = written(address, tmp_path, (1, 1))
    files = fsspec.filesystem("memory")
    old = f"{address}/{Generation(1, 1).name}"
    files.copy(old, f"{address}/{Generation(9, 1).name}")  # an old one that is to look new
    files.copy(old, f"{address}-sea/{Generation(1, 1).name}")
    assert not copies.fetch(Generation(9, 1), tmp_path / "target")
    assert fetched(copies, tmp_path) == "the journal of (1, 1)"
    assert fetched(Generations(f"{address}-sea", KEY), tmp_path) == ""
    assert fetched(Generations(address, b"x" * 32), tmp_path) == ""


def test_a_copy_that_is_too_large_is_neither_written_nor_read(address: str, tmp_path: Path) -> None:
    written(address, tmp_path, (1, 1))
    small = Generations(address, KEY, most_bytes=1000)
    with pytest.raises(StateError, match="more than 1,000"):
        small.add(Generation(1, 2), tmp_path / "source")
    assert fetched(small, tmp_path) == ""


def test_a_store_that_does_not_answer_is_told_and_not_taken_for_an_empty_one(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = written(address, tmp_path, (1, 1))

    def refuse(*words: object, **named: object) -> None:
        raise OSError("the network is down")

    for name in ("find", "get_file"):
        monkeypatch.setattr(fsspec.filesystem("memory"), name, refuse)
    with pytest.raises(InfrastructureError, match="the network is down"):
        copies.listed()
    with pytest.raises(InfrastructureError, match="the network is down"):
        copies.fetch(Generation(1, 1), tmp_path / "target")
