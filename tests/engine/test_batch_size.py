from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.engine.batch_size import GROWTH, LARGEST, LEAST_S, BatchSize

BATCH_S = 0.3


def settled(mean_s: float) -> BatchSize:
    """Batch size of a task whose calls all take so long, after a while."""
    size = BatchSize()
    for _ in range(12):
        size.update(size.next(BATCH_S, None, 1), 0.0 or mean_s * size.last)
    return size


def test_the_first_call_goes_alone() -> None:
    assert BatchSize().next(BATCH_S, 10**6, 4) == 1


@pytest.mark.parametrize(
    ("mean_s", "calls"), [(1e-5, LARGEST), (1e-3, 300), (0.1, 3), (0.299, 1), (0.4, 1), (100.0, 1)]
)
def test_a_batch_is_about_as_much_work_as_asked_for_and_a_long_call_goes_alone(mean_s: float, calls: int) -> None:
    assert settled(mean_s).next(BATCH_S, None, 4) == pytest.approx(calls, abs=1)


def test_batches_grow_by_steps() -> None:
    size = BatchSize()
    sizes = []
    for _ in range(4):
        sizes.append(size.next(BATCH_S, None, 1))
        size.update(sizes[-1], 1e-6 * sizes[-1])
    assert sizes == [1, GROWTH, GROWTH**2, min(LARGEST, GROWTH**3)]


def test_calls_that_turn_slow_make_small_batches_soon() -> None:
    size = settled(1e-4)
    for _ in range(2):
        size.update(size.last, 0.5 * size.last)
    assert size.next(BATCH_S, None, 1) <= 1


def test_the_last_calls_are_shared_out_among_all_slots() -> None:
    assert settled(1e-3).next(BATCH_S, 80, 4) == max(80 // 8, int(LEAST_S / 1e-3))
    assert settled(0.02).next(BATCH_S, 80, 4) == 10
    assert settled(0.05).next(BATCH_S, 3, 4) == 1


def test_a_batch_that_made_no_call_teaches_nothing() -> None:
    size = settled(0.01)
    before = size.mean_s
    size.update(0, 5.0)
    assert size.mean_s == before


@given(
    st.lists(st.tuples(st.integers(0, LARGEST), st.floats(0, 1e4)), max_size=20),
    st.floats(0.01, 10),
    st.none() | st.integers(0, 10**7),
    st.integers(1, 256),
)
def test_a_batch_has_at_least_one_call_and_is_never_too_large(
    learned: list[tuple[int, float]], batch_s: float, left: int | None, slots: int
) -> None:
    size = BatchSize()
    for calls, seconds in learned:
        before = size.last
        found = size.next(batch_s, left, slots)
        assert 1 <= found <= min(LARGEST, GROWTH * max(1, before))
        size.update(calls, seconds)
    assert size.mean_s is None or size.mean_s > 0
