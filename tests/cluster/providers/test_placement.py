"""Places for machines are tried in their order; a full one comes last for some minutes."""

from __future__ import annotations

from swath.cluster.providers.placement import FULL_S, Placement, Placements


def test_places_are_tried_in_order_spot_in_all_before_on_demand_in_any() -> None:
    placements = Placements(["a", "b", "a"], on_demand=True)
    spot = [Placement("a", True), Placement("b", True)]
    on_demand = [Placement("a", False), Placement("b", False)]
    assert placements.of(spot=True) == spot + on_demand
    assert placements.of(spot=False) == on_demand
    assert Placements(["a", "b"]).of(spot=True) == spot


def test_a_full_place_is_passed_over_for_some_minutes_unless_all_are_full() -> None:
    now = 0.0
    placements = Placements(["a", "b"], clock=lambda: now)
    a, b = placements.of(spot=False)
    placements.note_full(a)
    assert placements.of(spot=False) == [b]
    assert placements.of(spot=True) == [Placement("a", True), Placement("b", True)], "room for other kinds is not known"
    now = FULL_S / 2
    placements.note_full(b)
    assert placements.of(spot=False) == [a, b]
    now = FULL_S
    assert placements.of(spot=False) == [a]
