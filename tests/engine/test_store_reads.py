"""Many requests to a bucket at the same time: results come in order, memory is bounded, and a long resume is a listing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from swath.engine.store import INLINE_BYTES, ResultStore, StoreLimits
from swath.engine.store_reads import ReadLimits, read_in_order
from swath.engine.stored_args import LazyItems, StoredItems
from swath.engine.stored_result import DamagedResult, StoredResult
from swath.storage.attempts import Attempts

AT_ONCE = 8
LIMITS = StoreLimits(Attempts(first_pause_s=0.0001), reads=ReadLimits(requests=AT_ONCE, single_lookups=20))


class Bucket(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that counts its requests, and answers none until `barrier` has as many at the same time."""

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    barrier: ClassVar[threading.Barrier | None] = None
    asked: ClassVar[list[tuple[str, str]]] = []
    instances: ClassVar[set[int]] = set()

    def _note(self, what: str, path: str) -> None:
        self.asked.append((what, path))
        self.instances.add(id(self))
        if self.barrier is not None:
            self.barrier.wait(60)

    def cat_file(self, path: str, **more: Any) -> bytes:
        self._note("get", path)
        return bytes(super().cat_file(path, **more))

    def info(self, path: str, **more: Any) -> Any:
        self._note("info", path)
        return super().info(path, **more)

    def find(self, path: str, *, detail: bool = False, **more: Any) -> Any:
        self._note("list", path)
        prefix = self._strip_protocol(path) + "/"
        found = {
            key: {"name": key, "size": len(value.getvalue()), "type": "file"}
            for key, value in self.store.items()
            if key.startswith(prefix)
        }
        return found if detail else list(found)


@pytest.fixture
def store() -> Iterator[ResultStore]:
    fsspec.register_implementation("counted", Bucket, clobber=True)
    Bucket.store.clear()
    yield ResultStore("counted://bucket/results", limits=LIMITS)
    Bucket.store.clear()
    Bucket.asked.clear()
    Bucket.instances.clear()
    Bucket.barrier = None


def values(count: int) -> list[str]:
    return [f"{number} {'x' * INLINE_BYTES}" for number in range(count)]


def test_items_in_a_bucket_are_read_at_the_same_time_in_order_over_one_connection(store: ResultStore) -> None:
    expected = values(4 * AT_ONCE)
    items = StoredItems.write([store.put(value) for value in expected], store)
    again = ResultStore(store.root, limits=LIMITS)
    assert len(again.get(items.pages[0])) == len(expected)  # the page itself is one read
    Bucket.barrier = threading.Barrier(AT_ONCE)  # nothing is answered unless so many are asked at once
    limits = ReadLimits(requests=AT_ONCE)
    stored = [StoredResult(*each) for each in again.get(items.pages[0])]
    assert list(read_in_order(again, stored, limits)) == expected
    assert len(Bucket.instances) == 1, "fsspec opens one for each thread, with connections of its own"


def test_a_slice_of_items_reads_no_others(store: ResultStore) -> None:
    expected = values(30)
    items = LazyItems(store, StoredItems.write([store.put(value) for value in expected], store))
    Bucket.asked.clear()
    assert list(items.between(20, 25)) == expected[20:25]
    assert [what for what, _ in Bucket.asked] == ["get"] * 5
    assert list(items.between(0, 0)) == []


class Local:
    """Results that take some time each; it knows how many were read and not yet used."""

    remote = True

    def __init__(self) -> None:
        self.read: list[str] = []

    def get(self, stored: StoredResult, *, once: bool = False) -> str:
        assert once
        time.sleep(random.uniform(0, 0.002))
        if stored.digest == "bad":
            raise DamagedResult("it is missing")
        self.read.append(stored.digest)
        return stored.digest


def test_what_is_read_ahead_is_bounded_by_bytes_and_number() -> None:
    store, limits = Local(), ReadLimits(requests=4, ahead_bytes=100)
    used = 0
    for value in read_in_order(store, (StoredResult(str(number), 30) for number in range(200)), limits):
        assert value == str(used)
        used += 1
        assert len(store.read) - used <= 3, "100 bytes are three results of 30"
    assert used == 200
    large = [StoredResult(str(number), 10**9) for number in range(3)]
    assert list(read_in_order(store, large, limits)) == ["0", "1", "2"], "one is always read"


def test_an_error_comes_in_its_place_and_ends_the_reading() -> None:
    store = Local()
    reading = read_in_order(store, [StoredResult(name, 1) for name in ("a", "b", "bad", "c")])
    assert [next(reading), next(reading)] == ["a", "b"]
    with pytest.raises(DamagedResult):
        next(reading)
    assert list(reading) == []


def test_lookups_of_a_resume_are_made_at_the_same_time_and_then_by_listing(store: ResultStore) -> None:
    kept = [store.put(value) for value in values(200)]
    gone = kept[::10]
    for each in gone:
        Bucket.store.pop(Bucket._strip_protocol(f"{store.root}/{each.digest[:2]}/{each.digest[2:]}"))
    small = store.put("small")
    again = ResultStore(store.root, limits=LIMITS)
    Bucket.barrier = threading.Barrier(AT_ONCE)
    expected = [each not in gone for each in kept]
    assert again.present([*kept[: 2 * AT_ONCE], small]) == [*expected[: 2 * AT_ONCE], True]
    assert {what for what, _ in Bucket.asked} == {"info"}, "few results are asked for one by one"
    Bucket.barrier = None
    Bucket.asked.clear()
    assert again.present(kept[2 * AT_ONCE :]) == expected[2 * AT_ONCE :]
    asked = [what for what, _ in Bucket.asked]
    assert asked.count("list") == len({each.digest[:2] for each in kept[2 * AT_ONCE :]})
    assert asked.count("info") == len(gone) - 2, "only what is not in the listing is asked for: it may be newer"
    other_size = [StoredResult(each.digest, each.size + 1) for each in kept[1:4]]
    assert again.present(other_size) == [False] * 3
    Bucket.asked.clear()
    assert again.present(kept[2 * AT_ONCE :]) == expected[2 * AT_ONCE :]
    assert "list" not in [what for what, _ in Bucket.asked], "a folder is listed once"
