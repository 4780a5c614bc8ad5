"""Decoded tiles are shared by trainings on the same data."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import ColumnSplit
from swath.training.chips.chips import Chips
from tests.training.chips.images import pair, planned


def test_a_second_training_on_the_same_data_reads_nothing_again(tmp_path: Path) -> None:
    images, _, _ = pair(tmp_path)
    found = planned(images, ColumnSplit())
    first = Chips(found, Sampling(chip=64, batch=4), 1)
    seen = [first.batch(number) for number in range(40)]
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    again = Chips(pickle.loads(pickle.dumps(found)), Sampling(chip=32, batch=4), 2)
    assert again.batch(0).valid.any()
    once_more = Chips(found, Sampling(chip=64, batch=4), 1)
    assert all(np.array_equal(one.pixels, once_more.batch(at).pixels) for at, one in enumerate(seen))
