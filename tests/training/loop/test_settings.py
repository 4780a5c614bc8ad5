"""Class weights of a loss."""

from __future__ import annotations

import pytest

from swath.spec.fields.network import LossTerm
from swath.training.loop.settings import class_weights


def test_balanced_weights_make_every_class_count_alike() -> None:
    counts = (900, 90, 10, 0)
    weights = class_weights(LossTerm(name="focal", class_weights="balanced"), counts)
    assert [w * c for w, c in zip(weights, counts, strict=True)] == pytest.approx([1000 / 3] * 3 + [0])
