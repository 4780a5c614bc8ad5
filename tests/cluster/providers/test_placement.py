"""Places and machine types are tried in their order; a full one comes last for some minutes; the end of all tries is one error."""

from __future__ import annotations

import pytest

from swath.cluster.providers.contract import LaunchRequest
from swath.cluster.providers.machine import Machine
from swath.cluster.providers.placement import (
    FULL_S,
    MAX_TRIES,
    TRYING_S,
    NoCapacity,
    Placement,
    PlacementFull,
    Placements,
)
from swath.errors import InfrastructureError

FULL = InfrastructureError("the zone is full", remedy="more zones")


def request(*types: str, spot: bool = False) -> LaunchRequest:
    first, *others = types or ("m",)
    return LaunchRequest("r-1", "worker", first, spot, "r", 0.0, "", tuple(others))


def machine(asked: LaunchRequest, option: Placement) -> Machine:
    return Machine("1", asked.name, asked.label, asked.role, 0.0, option.place, "", asked.type, spot=asked.spot)


def test_places_are_tried_in_order_spot_as_all_types_in_all_places_before_on_demand() -> None:
    placements = Placements(["a", "b", "a"], on_demand=True)
    spot = [Placement("a", True, "m"), Placement("b", True, "m"), Placement("a", True, "n"), Placement("b", True, "n")]
    on_demand = [Placement(each.place, False, each.type) for each in spot]
    assert placements.of("m", "n", spot=True) == spot + on_demand
    assert placements.of("m", "n", spot=False) == on_demand
    assert Placements(["a", "b"]).of("m", spot=True) == spot[:2]


def test_a_full_place_is_passed_over_for_some_minutes_unless_all_are_full() -> None:
    now = 0.0
    placements = Placements(["a", "b"], clock=lambda: now)
    a, b = placements.of("m", spot=False)
    placements.note_full(a)
    assert placements.of("m", spot=False) == [b]
    assert len(placements.of("m", spot=True)) == 2, "room for other kinds is not known"
    assert len(placements.of("n", spot=False)) == 2
    now = FULL_S / 2
    placements.note_full(b)
    assert placements.of("m", spot=False) == [a, b]
    now = FULL_S
    assert placements.of("m", spot=False) == [a]


def test_a_machine_is_launched_as_the_first_kind_that_has_room() -> None:
    placements = Placements(["a", "b"], on_demand=True)
    asked: list[str] = []

    def attempt(placed: LaunchRequest, option: Placement) -> Machine | PlacementFull:
        asked.append(str(option))
        assert (placed.type, placed.spot) == (option.type, option.spot)
        return machine(placed, option) if option.type == "n" and option.place == "b" else PlacementFull(FULL)

    found = placements.launch(request("m", "n", spot=True), attempt)
    assert (found.type, found.spot, found.place) == ("n", True, "b")
    assert asked == ["m spot in a", "m spot in b", "n spot in a", "n spot in b"]
    assert placements.launch(request("m", "n", spot=True), attempt) == found
    assert asked[4:] == ["n spot in b"], "what was full is not asked again soon"


def test_where_nothing_has_room_one_error_tells_all_that_was_asked() -> None:
    with pytest.raises(NoCapacity) as caught:
        Placements(["a", "b"], on_demand=True).launch(request("m", "n", spot=True), lambda *_: PlacementFull(FULL))
    assert caught.value.message == (
        "no room for a worker machine as m spot in a, b; as n spot in a, b; as m in a, b; as n in a, b;"
        " the last answer: the zone is full"
    )
    assert caught.value.remedy == "more zones"
    with pytest.raises(NoCapacity, match=r"^the zone is full"):
        Placements(["a"]).launch(request(), lambda *_: PlacementFull(FULL))


def test_no_room_for_spot_machines_anywhere_leads_to_others_at_once() -> None:
    asked: list[str] = []

    def attempt(placed: LaunchRequest, option: Placement) -> Machine | PlacementFull:
        asked.append(str(option))
        return PlacementFull(FULL, no_spot=True) if option.spot else machine(placed, option)

    assert not Placements(["a", "b"], on_demand=True).launch(request("m", spot=True), attempt).spot
    assert asked == ["m spot in a", "m in a"]


def test_a_quota_that_is_used_up_is_not_asked_for_elsewhere() -> None:
    asked: list[Placement] = []

    def attempt(placed: LaunchRequest, option: Placement) -> Machine:
        asked.append(option)
        raise InfrastructureError("quota exceeded")

    with pytest.raises(InfrastructureError, match="quota exceeded") as caught:
        Placements(["a", "b"]).launch(request("m", "n"), attempt)
    assert not isinstance(caught.value, NoCapacity)
    assert len(asked) == 1


def test_the_number_and_the_time_of_tries_are_limited() -> None:
    many = Placements([f"z{number}" for number in range(16)], on_demand=True)
    assert len(many.of("m", "n", "o", spot=True)) == MAX_TRIES
    now = 0.0
    asked: list[Placement] = []

    def attempt(placed: LaunchRequest, option: Placement) -> PlacementFull:
        nonlocal now
        now += TRYING_S / 2 + 1
        asked.append(option)
        return PlacementFull(FULL)

    with pytest.raises(NoCapacity):
        Placements(["a", "b", "c", "d"], clock=lambda: now).launch(request(), attempt)
    assert len(asked) == 2
