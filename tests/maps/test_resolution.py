"""The resolution of a model and that of its imagery: a note with both numbers where they are far apart."""

from __future__ import annotations

import logging

import pytest
from odc.geo.geobox import GeoBox

from swath.imagery.scene import Scene, Scenes
from swath.maps.resolution import resolution_note, with_resolution_notes
from swath.models.contract import Contract


def contract(resolution_m: float | None) -> Contract:
    return Contract("water", ("red",), "values", resolution_m=resolution_m)


def grid(size: float, crs: str | None = "EPSG:32633") -> GeoBox:
    box = GeoBox.from_bbox(
        (400_000, 5_000_000, 400_000 + 100 * size, 5_000_000 + 100 * size), crs="EPSG:32633", resolution=size
    )
    return box if crs else GeoBox(box.shape, box.affine, None)


@pytest.mark.parametrize("size", [20, 26.1, 30, 38])
def test_near_sizes_are_not_told(size: float) -> None:
    assert resolution_note(contract(26.1), grid(size)) == ""


def test_what_is_not_known_is_not_compared() -> None:
    assert resolution_note(contract(None), grid(5)) == ""
    assert resolution_note(contract(26.1), grid(5, None)) == ""


def test_sizes_far_apart_are_told_with_both_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (scenes,) = with_resolution_notes(
            (Scenes((Scene("a", ()),), grid(5), ("red",), notes=("before",)),), contract(26.1)
        )
    assert scenes.notes[0] == "before"
    assert scenes.notes[1].startswith(
        "water was trained for pixels of 26.1 m (swath:resolution_m), and these have 5 m, 5.2 times less: the map may be wrong"
    )
    assert caplog.messages == [scenes.notes[1]]
    assert "these have 100 m, 3.8 times more" in resolution_note(contract(26.1), grid(100))


def test_degrees_are_compared_in_metres() -> None:
    degrees = GeoBox.from_bbox((15.0, 0.0, 16.0, 1.0), crs="EPSG:4326", resolution=0.0001)
    assert resolution_note(contract(10), degrees) == ""
    assert "these have 11.1 m" in resolution_note(contract(60), degrees)
