from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.engine.batch_size import GROWTH, LARGEST, LEAST_S, BatchSize

BATCH_S = 0.3


def settled(mean_s: float) -> BatchSize:
    """The pace of a task whose calls all take so long, after a while."""
    pace = BatchSize()
    for _ in range(12):
        pace.learn(pace.size(BATCH_S, None, 1), 0.0 or mean_s * pace.last)
    return pace


def test_the_first_call_goes_alone() -> None:
    assert BatchSize().size(BATCH_S, 10**6, 4) == 1


@pytest.mark.parametrize(
    ("mean_s", "calls"), [(1e-5, LARGEST), (1e-3, 300), (0.1, 3), (0.299, 1), (0.4, 1), (100.0, 1)]
)
def test_a_batch_is_about_as_much_work_as_asked_for_and_a_long_call_goes_alone(mean_s: float, calls: int) -> None:
    assert settled(mean_s).size(BATCH_S, None, 4) == pytest.approx(calls, abs=1)


def test_batches_grow_by_steps() -> None:
    pace = BatchSize()
    sizes = []
    for _ in range(4):
        sizes.append(pace.size(BATCH_S, None, 1))
        pace.learn(sizes[-1], 1e-6 * sizes[-1])
    assert sizes == [1, GROWTH, GROWTH**2, min(LARGEST, GROWTH**3)]


def test_calls_that_turn_slow_make_small_batches_soon() -> None:
    pace = settled(1e-4)
    for _ in range(2):
        pace.learn(pace.last, 0.5 * pace.last)
    assert pace.size(BATCH_S, None, 1) <= 1


def test_the_last_calls_are_shared_out_among_all_slots() -> None:
    assert settled(1e-3).size(BATCH_S, 80, 4) == max(80 // 8, int(LEAST_S / 1e-3))
    assert settled(0.02).size(BATCH_S, 80, 4) == 10
    assert settled(0.05).size(BATCH_S, 3, 4) == 1


def test_a_batch_that_made_no_call_teaches_nothing() -> None:
    pace = settled(0.01)
    before = pace.mean_s
    pace.learn(0, 5.0)
    assert pace.mean_s == before


@given(
    st.lists(st.tuples(st.integers(0, LARGEST), st.floats(0, 1e4)), max_size=20),
    st.floats(0.01, 10),
    st.none() | st.integers(0, 10**7),
    st.integers(1, 256),
)
def test_a_batch_has_at_least_one_call_and_is_never_too_large(
    learned: list[tuple[int, float]], batch_s: float, left: int | None, slots: int
) -> None:
    pace = BatchSize()
    for calls, seconds in learned:
        before = pace.last
        size = pace.size(batch_s, left, slots)
        assert 1 <= size <= min(LARGEST, GROWTH * max(1, before))
        pace.learn(calls, seconds)
    assert pace.mean_s is None or pace.mean_s > 0
