"""Legends: colours of classes, and the share of the map that each covers."""

from __future__ import annotations

import pytest

from swath.maps.legend import MapClass, class_shares, color_table, legend_from_classes, parse_rgb
from swath.spec.fields.class_colors import PALETTE
from swath.spec.fields.labels import LabelClass

LEGEND = (MapClass(0, "land", (200, 10, 20)), MapClass(3, "water", (30, 90, 210)))


def test_classes_of_a_spec_have_their_positions_as_values_and_a_colour_each() -> None:
    legend = legend_from_classes([LabelClass(name="land"), LabelClass(name="water", color="#D21E5A")])
    assert [(each.value, each.name, each.hex) for each in legend] == [
        (0, "land", f"#{PALETTE[0].lower()}"),
        (1, "water", "#d21e5a"),
    ]
    assert parse_rgb("1E5AD2") == parse_rgb("#1e5ad2") == (30, 90, 210)


def test_nodata_is_transparent_unless_it_is_a_class() -> None:
    table = color_table(LEGEND, 255)
    assert len(table) == 256
    assert (table[0], table[3], table[7], table[255]) == (
        (200, 10, 20, 255),
        (30, 90, 210, 255),
        (0, 0, 0, 255),
        (0, 0, 0, 0),
    )
    assert color_table(LEGEND, 3)[3] == (30, 90, 210, 255)


def test_shares_are_of_all_valid_pixels_and_of_nothing_zero() -> None:
    land, water = class_shares(LEGEND, {0: 30, 3: 10})
    assert (land.pixels, land.fraction) == (30, pytest.approx(0.75))
    assert (water.name, water.color, water.fraction) == ("water", "#1e5ad2", pytest.approx(0.25))
    assert [each.fraction for each in class_shares(LEGEND, {})] == [0, 0]


def test_a_default_colour_is_apart_from_the_given_ones() -> None:
    land, water, wood = legend_from_classes(
        [LabelClass(name="land"), LabelClass(name="water", color="2B7BBA"), LabelClass(name="wood")]
    )
    assert (water.hex, wood.hex) == ("#2b7bba", f"#{PALETTE[2].lower()}")  # the palette's where nothing resembles it
    assert land.hex == f"#{PALETTE[1].lower()}"  # its own in the palette is the same blue as the water
