from __future__ import annotations

import time

import pytest

from swath.cluster.steady_clock import steady_time


@pytest.mark.parametrize("hours", [-1, 1])
def test_it_goes_on_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    before, real = steady_time(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    assert 0 <= steady_time() - before < 10
