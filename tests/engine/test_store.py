"""Kept results: in a folder, or behind an fsspec URL that fails now and then."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from swath.engine.result_signature import signature
from swath.engine.store import INLINE_BYTES, ResultStore, StoreLimits
from swath.engine.stored_result import DamagedResult, StoredResult
from swath.errors import CredentialsError, StateError
from swath.storage.attempts import Attempts

LARGE = "x" * (INLINE_BYTES + 1)
QUICK = StoreLimits(Attempts(first_pause_s=0.0001))


class Flaky(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that refuses half of what it is asked, and counts what it was asked."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    chance = random.Random(7)
    asked: ClassVar[list[str]] = []
    dead: ClassVar[bool] = False
    denied: ClassVar[bool] = False
    changed: ClassVar[list[Callable[[bytes], bytes]]] = []
    """What happens to the next answers on their way."""

    def _maybe(self, what: str) -> None:
        self.asked.append(what)
        if self.denied:
            raise PermissionError("The provided token has expired.")
        if self.dead or self.chance.random() < 0.5:
            raise OSError("503 Slow Down")

    def pipe_file(self, path: str, value: bytes, **more: Any) -> None:
        self._maybe("put")
        super().pipe_file(path, value, **more)

    def cat_file(self, path: str, **more: Any) -> bytes:
        self._maybe("get")
        found = bytes(super().cat_file(path, **more))
        return self.changed.pop()(found) if self.changed else found


@pytest.fixture
def flaky() -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.asked.clear()
    yield Flaky
    Flaky.dead = Flaky.denied = False
    Flaky.changed.clear()
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
    assert flaky.asked == ["put"] * QUICK.attempts.requests


def test_a_result_that_is_gone_says_how_to_make_it_anew(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="--fresh"):
        ResultStore(str(tmp_path)).get(StoredResult("0" * 32, 9000))


def test_what_cannot_be_pickled_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"type generator cannot be stored"):
        ResultStore(str(tmp_path)).put(number for number in range(3))


def test_an_expired_token_is_not_a_full_disk(flaky: type[Flaky]) -> None:
    store = ResultStore("flaky://bucket/results", limits=QUICK)
    kept = store.put(LARGE)
    flaky.denied = True
    for request in (lambda: store.put(LARGE * 2), lambda: store.get(kept)):
        with pytest.raises(CredentialsError, match="token has expired") as caught:
            request()
        assert caught.value.exit_code == 4
        assert "free some space" not in str(caught.value)


def test_answers_that_are_cut_or_changed_on_their_way_are_asked_for_again(flaky: type[Flaky]) -> None:
    store = ResultStore("flaky://bucket/results", limits=QUICK)
    kept = store.put(LARGE)
    flaky.changed += [lambda data: data[:100], lambda data: bytes(len(data))]
    assert store.get(kept) == LARGE
    assert not flaky.changed


def test_an_html_page_in_the_place_of_a_result_is_named(flaky: type[Flaky]) -> None:
    store = ResultStore("flaky://bucket/results", limits=QUICK)
    kept = store.put(LARGE)
    flaky.changed += [lambda data: b"<!DOCTYPE html><title>Sign in</title>"] * 5
    with pytest.raises(DamagedResult, match="an HTML page is in its place"):
        store.get(kept)


def test_an_object_that_somebody_else_wrote_is_not_unpickled(flaky: type[Flaky], tmp_path: Path) -> None:
    """Whoever can write to the bucket does not have the key."""

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "code ran",))

    store = ResultStore("flaky://bucket/results", limits=QUICK, key=b"k" * 32)
    kept = store.put(LARGE)
    (path,) = flaky.store
    for data in (pickle.dumps(Attack()), signature(kept.digest, pickle.dumps(Attack()), b"") + pickle.dumps(Attack())):
        flaky.store[path].seek(0)
        flaky.store[path].truncate()
        flaky.store[path].write(data)
        with pytest.raises(DamagedResult, match="its signature does not fit"):
            store.get(kept)
    assert not (tmp_path / "code ran").exists()
    assert pickle.loads(pickle.dumps(store)).put([1]) == store.put([1])  # workers get the key with the store


def test_equal_size_does_not_make_a_file_the_same(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    stored = store.put(LARGE)
    (file,) = (file for file in tmp_path.rglob("*") if file.is_file())
    file.write_bytes(bytes(stored.size))
    assert store.has(stored)
    assert not store.is_intact(stored)
    with pytest.raises(DamagedResult, match=rf"{file}: its signature does not fit"):
        store.get(stored)
    store.put(LARGE)
    assert store.is_intact(stored)
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_a_file_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    flush, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("flush"), flush(file)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (done.append("rename"), rename(path, to))[1])
    ResultStore(str(tmp_path)).put(LARGE)
    assert done == ["flush", "rename"]


def test_a_pickle_that_cannot_be_loaded_is_a_state_error(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    stored = store.put_pickle("0" * 32, b"cno_such_module\nthing\n.")
    with pytest.raises(StateError, match="cannot be unpickled: ModuleNotFoundError") as caught:
        store.get(stored)
    assert "--fresh" in caught.value.remedy
