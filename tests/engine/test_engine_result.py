"""Counts of calls begin at nothing."""

from __future__ import annotations

from swath.engine.engine_result import CallCounts


def test_nothing_has_ended_at_first() -> None:
    counts = CallCounts()
    assert (counts.executed, counts.reused, counts.failed, counts.exit_code) == (0, 0, 0, 0)
    assert counts.set_aside == counts.left_out == []
