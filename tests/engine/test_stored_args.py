from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.engine.fingerprint import fingerprint
from swath.engine.store import ResultStore
from swath.engine.stored_args import LazyItems, PageLimits, StoredArgument, StoredItems, load_arguments
from swath.engine.stored_result import DamagedResult


class Counting(ResultStore):
    """Counts what is read, and what is in hand at once is up to who reads."""

    reads = 0

    def get(self, stored: Any, *, once: bool = False) -> Any:
        self.reads += 1
        return super().get(stored, once=once)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(str(tmp_path / "results"))


def items(store: ResultStore, values: Sequence[Any], page_items: int = 1000) -> LazyItems:
    return LazyItems(store, StoredItems.write([store.put(value) for value in values], store, PageLimits(page_items)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers() | st.text(max_size=3), max_size=60), st.integers(1, 7), st.data())
def test_items_are_a_sequence_like_a_list_however_they_are_paged(values: list[Any], page: int, data: Any) -> None:
    found = items(ResultStore("memory://kept"), values, page)
    assert len(found) == len(values)
    assert list(found) == values
    assert list(reversed(found)) == values[::-1]
    begin, end, step = (data.draw(st.none() | st.integers(-70, 70).filter(bool)) for _ in range(3))
    assert found[begin:end:step] == values[begin:end:step]
    for number in range(-len(values), len(values)):
        assert found[number] == values[number]
    for number in (len(values), -len(values) - 1):
        with pytest.raises(IndexError):
            found[number]


def test_the_digest_tells_what_is_in_it_not_how_it_is_paged(store: Counting) -> None:
    values = [str(number) * 9 for number in range(30)]
    digests = set()
    for page_items, page_bytes in ((1000, 2**20), (7, 2**20), (1000, 100)):
        limits = PageLimits(page_items, page_bytes)
        written = StoredItems.write([store.put(value) for value in values], store, limits)
        assert (len(written.pages) > 1) == (page_items < 30 or page_bytes < 1000)
        assert list(LazyItems(store, written)) == values
        digests.add(written.digest)
        digests.add(LazyItems(store, written).__dask_tokenize__())
    assert len(digests) == 1
    other = StoredItems.write([store.put(value) for value in values[::-1]], store)
    assert other.digest not in digests
    assert fingerprint(other) != fingerprint(written)


def test_nothing_is_loaded_before_it_is_asked_for_and_each_page_once_in_a_walk(store: Counting) -> None:
    found = items(store, list(range(5000)))
    assert store.reads == 0
    assert found[4321] == 4321
    assert store.reads == 2  # a page, and the item
    store.reads = 0
    assert sum(found) == sum(range(5000))
    assert store.reads == 5000 + 5


def test_large_items_are_not_held_by_who_walks_them(store: Counting) -> None:
    import tracemalloc

    found = items(store, [bytes([number]) * 2_000_000 for number in range(100)])
    tracemalloc.start()
    try:
        assert sum(len(value) for value in found) == 200_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # the one, and what it is read from


def test_no_page_is_larger_than_its_limit_by_more_than_an_item(store: Counting) -> None:
    written = StoredItems.write([store.put(bytes([number % 256]) * 8000) for number in range(400)], store)
    assert len(written.pages) > 2
    assert all(page.size < PageLimits().bytes + 20_000 for page in written.pages)


def test_parts_of_stored_results_are_found_by_their_path(store: Counting) -> None:
    one = StoredArgument(store.put({"a": [10, 20]}), (("item", "a"), ("item", 1)))
    many = StoredItems.write([store.put(number) for number in (5, 6)], store)
    template = {
        "x": [one, (1, one)],
        "y": many,
        "z": many._replace(path=(("item", -1),)),
        "w": StoredArgument(one.stored),
    }
    found = load_arguments(template, store)
    assert found["x"] == [20, (1, 20)]
    assert list(found["y"]) == [5, 6]
    assert (found["z"], found["w"]) == (6, {"a": [10, 20]})
    assert fingerprint(one) != fingerprint(StoredArgument(one.stored))


def test_items_that_a_task_returns_are_kept_as_a_list(store: Counting) -> None:
    found = items(store, ["a", "b"])
    assert pickle.loads(pickle.dumps(found)) == ["a", "b"]
    assert store.get(store.put({"all": found})) == {"all": ["a", "b"]}


def test_no_items_are_an_empty_sequence(store: Counting) -> None:
    found = items(store, [])
    assert (len(found), list(found), found[:]) == (0, [], [])


def test_a_page_with_a_damaged_result_is_not_taken_for_the_page_with_the_mended_one(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    results = [store.put(bytes(5000) + bytes([number])) for number in range(3)]
    broken = [results[0]._replace(data=bytes(results[0].size)), *results[1:]]
    with pytest.raises(DamagedResult):
        list(LazyItems(store, StoredItems.write(broken, store)))
    mended = StoredItems.write(results, store)
    assert len(list(LazyItems(store, mended))) == 3
    assert mended.digest == StoredItems.write(broken, store).digest, "keys of calls stay"
