"""Numbers of a training for tables, and the size of its pixels on the ground."""

from __future__ import annotations

from tests.training.example import record


def test_a_run_tells_numbers_that_a_table_can_compare() -> None:
    assert record().numbers() == {
        "mean IoU": 0.86, "IoU land": 0.8421, "IoU water": 0.875, "loss": 0.5, "epoch": 2, "model": "ab" * 6,
    }  # fmt: skip
