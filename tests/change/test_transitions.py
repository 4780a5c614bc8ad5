"""Transitions: values, names and colours."""

from __future__ import annotations

from swath.change.transitions import Transition
from swath.maps.legend import legend_from_classes
from tests.change.pairs import LAND_WATER


def test_every_transition_has_a_name_of_its_own_and_what_stays_is_paler() -> None:

    classes = legend_from_classes(LAND_WATER)
    every = [Transition(one, other, 2) for one in classes for other in classes]
    assert len({each.name for each in every}) == len({each.color for each in every}) == 4
    assert sum(every[3].color) > sum(every[1].color)
