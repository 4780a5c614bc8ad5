from __future__ import annotations

import pytest

from swath.server.rate_limit import Rate, RateLimit
from swath.server.refusals import TooMany


def test_a_burst_is_allowed_and_then_so_many_a_second_for_each_asker() -> None:
    now = [0.0]
    limit = RateLimit(Rate(per_s=2, burst=3), askers=2, clock=lambda: now[0])
    for _ in range(3):
        limit.take("ada")
    with pytest.raises(TooMany):
        limit.take("ada")
    limit.take("bob")
    now[0] = 0.5
    limit.take("ada")
    with pytest.raises(TooMany):
        limit.take("ada")
    now[0] = 100.0
    for _ in range(3):
        limit.take("ada")
    with pytest.raises(TooMany):
        limit.take("ada")
    limit.take("bob")
    limit.take("eve")  # there is room for two: ada is forgotten
    limit.take("ada")
