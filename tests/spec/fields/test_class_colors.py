"""Default colours of classes: those of the palette, and others where a class was given one that resembles them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from swath.spec.fields.class_colors import PALETTE, default_colors


def distance(one: str, other: str) -> float:
    pairs = zip(bytes.fromhex(one), bytes.fromhex(other), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def test_without_given_colours_they_are_the_palette_and_beyond_it_all_different() -> None:
    assert default_colors([None] * 10) == PALETTE
    many = default_colors([None] * 40)
    assert many[:10] == PALETTE
    assert len(set(many)) == 40
    assert min(distance(*pair) for pair in itertools.combinations(many, 2)) > 15


def test_as_many_classes_as_a_map_can_have_get_different_colours() -> None:
    many = default_colors([None, "4477AA"] * 127)
    assert len(set(many[::2])) == 127


def test_given_colours_stay() -> None:
    assert default_colors(["#000000", None, "ffffff"]) == ("000000", PALETTE[1], "ffffff")


@given(st.lists(st.none() | st.from_regex("[0-9A-F]{6}", fullmatch=True), min_size=1, max_size=12))
def test_no_default_colour_resembles_a_given_one(classes: list[str | None]) -> None:
    colors = default_colors(classes)
    own = [each for each in classes if each]
    assert len(colors) == len(classes)
    defaults = [color for each, color in zip(classes, colors, strict=True) if each is None]
    assert len(set(defaults)) == len(defaults)
    assert all(distance(color, each) >= 40 for color in defaults for each in own)
