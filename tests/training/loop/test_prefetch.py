"""The feed of batches: in order from the step that was reached, read ahead, with errors where the batch is taken."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from swath.training.loop.prefetch import QUEUED_BATCHES, BatchFeed, NetworkBatch


def numbered(step: int) -> NetworkBatch:
    return NetworkBatch(np.full((1, 1, 2, 2), step, np.float32), np.zeros((1, 2, 2), np.uint8))


@pytest.mark.parametrize(("reached", "expected"), [(0, [0, 1, 2, 3]), (2, [2, 3]), (4, [4, 5, 6, 7])])
def test_an_epoch_goes_on_at_the_step_that_was_reached(reached: int, expected: list[int]) -> None:
    feed = BatchFeed(numbered, 4, lambda: reached)
    assert len(feed) == 4
    assert [int(pixels[0, 0, 0, 0]) for pixels, _ in feed] == expected


def test_batches_are_read_ahead_by_another_thread_and_no_further_than_the_queue() -> None:
    full = threading.Event()
    steps: list[int] = []
    threads: set[int] = set()

    def batch(step: int) -> NetworkBatch:
        steps.append(step)
        threads.add(threading.get_ident())
        if len(steps) == QUEUED_BATCHES + 1:  # one in each place of the queue, and one that waits for a place
            full.set()
        return numbered(step)

    feed = iter(BatchFeed(batch, 100, lambda: 0))
    next(feed)
    assert full.wait(10)
    assert len(steps) <= QUEUED_BATCHES + 3
    assert threading.get_ident() not in threads
    feed.close()  # type: ignore[attr-defined]
    assert len(steps) < 100


def test_an_error_comes_after_the_batches_before_it() -> None:
    def batch(step: int) -> NetworkBatch:
        if step == 2:
            raise OSError("the disk is gone")
        return numbered(step)

    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(int(pixels[0, 0, 0, 0]) for pixels, _ in BatchFeed(batch, 4, lambda: 0))
    assert seen == [0, 1]


def test_the_time_of_taking_a_batch_is_waiting_and_that_between_two_is_not() -> None:
    seconds = itertools.count()  # one more at each look at the clock
    feed = BatchFeed(numbered, 3, lambda: 0, clock=lambda: float(next(seconds)))
    for _ in feed:
        next(seconds)
    assert feed.waited_s == 3
