"""Kept results: in a folder, or behind an fsspec URL that fails now and then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from swath.engine.store import INLINE_BYTES, ResultStore, StoreLimits
from swath.engine.stored_result import StoredResult
from swath.errors import StateError

LARGE = "x" * (INLINE_BYTES + 1)
QUICK = StoreLimits(first_pause_s=0.0001)


class Flaky(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that refuses half of what it is asked, and counts what it was asked."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    chance = random.Random(7)
    asked: ClassVar[list[str]] = []
    dead: ClassVar[bool] = False

    def _maybe(self, what: str) -> None:
        self.asked.append(what)
        if self.dead or self.chance.random() < 0.5:
            raise OSError("503 Slow Down")

    def pipe_file(self, path: str, value: bytes, **more: Any) -> None:
        self._maybe("put")
        super().pipe_file(path, value, **more)

    def cat_file(self, path: str, **more: Any) -> bytes:
        self._maybe("get")
        return bytes(super().cat_file(path, **more))


@pytest.fixture
def flaky() -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.asked.clear()
    yield Flaky
    Flaky.dead = False
    Flaky.store.clear()


def test_small_results_are_in_hand_and_large_ones_in_the_folder_under_their_digest(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    small, large = store.put([1, 2]), store.put(LARGE)
    assert store.get(small) == [1, 2]
    assert small.data is not None
    assert large.data is None
    assert store.get(large) == LARGE
    assert [file.parent.name + file.name for file in tmp_path.rglob("*") if file.is_file()] == [large.digest]


def test_a_large_result_is_written_once_and_half_written_ones_are_never_seen(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    stored = store.put(LARGE)
    (file,) = (file for file in tmp_path.rglob("*") if file.is_file())
    before = file.stat().st_mtime_ns
    assert store.put(LARGE) == stored
    assert file.stat().st_mtime_ns == before
    file.write_bytes(b"cut")
    assert not store.has(stored)
    store.put(LARGE)
    assert ResultStore(str(tmp_path)).get(stored) == LARGE


def test_a_bucket_that_fails_half_the_puts_and_gets_loses_nothing(flaky: type[Flaky]) -> None:
    store = ResultStore("flaky://bucket/results", limits=QUICK)
    kept = [store.put(np.full(5000, number)) for number in range(20)]
    assert flaky.asked.count("put") > 25
    again = ResultStore("flaky://bucket/results", limits=QUICK)
    assert [int(again.get(stored)[0]) for stored in kept] == list(range(20))
    assert all(again.has(stored) for stored in kept)


def test_a_bucket_that_never_answers_is_a_clear_error(flaky: type[Flaky]) -> None:
    flaky.dead = True
    with pytest.raises(StateError, match=r"cannot be stored in flaky://bucket/results: 503 Slow Down") as caught:
        ResultStore("flaky://bucket/results", limits=QUICK).put(LARGE)
    assert caught.value.exit_code == 6
    assert flaky.asked == ["put"] * QUICK.attempts


def test_a_result_that_is_gone_says_how_to_make_it_anew(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="--fresh"):
        ResultStore(str(tmp_path)).get(StoredResult("0" * 32, 9000))


def test_what_cannot_be_pickled_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"type generator cannot be stored"):
        ResultStore(str(tmp_path)).put(number for number in range(3))
