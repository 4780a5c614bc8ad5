"""Bootstrap intervals: they hold the score, and are wider where errors lie together."""

from __future__ import annotations

import numpy as np

from swath.evaluation.bootstrap import intervals
from swath.evaluation.confusion import Confusion


def test_an_interval_holds_the_score_and_is_the_same_for_a_seed():
    random = np.random.default_rng(7)
    shares = random.uniform(0.6, 0.95, 60)
    blocks = np.array([[[round(90 * s), 90 - round(90 * s)], [10, 90]] for s in shares])
    whole = Confusion(blocks.sum(axis=0))
    found = intervals(blocks, 500, seed=3)
    assert found == intervals(blocks, 500, seed=3)
    assert found != intervals(blocks, 500, seed=4)
    for name, values in whole.scores().items():
        for value, interval in zip(np.ravel(values), found[name], strict=True):
            assert interval is not None
            assert interval[0] <= value <= interval[1]
    low, high = found["accuracy"][0]  # type: ignore[misc]
    assert 0.01 < high - low < 0.06


def test_the_interval_is_wider_where_errors_lie_together():
    """The same number of errors, spread evenly or in one block of ten."""
    even = np.tile(np.array([[80, 20], [0, 100]]), (50, 1, 1))
    together = np.tile(np.array([[100, 0], [0, 100]]), (50, 1, 1))
    together[::5] = [[0, 100], [0, 100]]
    assert even.sum(axis=0).tolist() == together.sum(axis=0).tolist()
    one, other = (intervals(blocks, 400, 1)["accuracy"][0] for blocks in (even, together))
    assert one is not None
    assert other is not None
    assert other[1] - other[0] > 10 * (one[1] - one[0])


def test_few_blocks_give_no_interval():
    assert intervals(np.ones((3, 2, 2), np.int64), 100, 1)["iou"] == [None, None]
