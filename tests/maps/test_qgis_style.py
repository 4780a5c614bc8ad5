"""The QML of a map: what QGIS reads of it, in the elements and attributes of its raster renderers."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from swath.maps.color_ramp import RAMP
from swath.maps.legend import MapClass
from swath.maps.qgis_style import style_text


def renderer_of(text: str) -> Xml.Element:
    assert text.startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis ")
    found = Xml.fromstring(text.partition("\n")[2]).find("pipe/rasterrenderer")
    assert found is not None
    return found


def test_classes_have_their_names_and_colours() -> None:
    legend = (MapClass(0, "bare <soil> & rock", (230, 223, 200)), MapClass(7, "Gewässer", (43, 123, 186)))
    renderer = renderer_of(style_text(legend, {}))
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = [(each.get("value"), each.get("label"), each.get("color")) for each in renderer.iter("paletteEntry")]
    assert entries == [("0", "bare <soil> & rock", "#e6dfc8"), ("7", "Gewässer", "#2b7bba")]


@pytest.mark.parametrize(
    ("statistics", "low", "high"),
    [
        ({"minimum": -5.0, "maximum": 90.0, "mean": 10.0, "stddev": 4.0}, 2.0, 18.0),
        ({"minimum": 9.0, "maximum": 11.0, "mean": 10.0, "stddev": 4.0}, 9.0, 11.0),
        ({"minimum": 3.0, "maximum": 3.0, "mean": 3.0, "stddev": 0.0}, 3.0, 4.0),
        ({"valid_percent": 0.0}, 0.0, 1.0),
    ],
)
def test_values_have_a_ramp(statistics: dict[str, float], low: float, high: float) -> None:
    renderer = renderer_of(style_text((), statistics))
    assert renderer.get("type") == "singlebandpseudocolor"
    items = list(renderer.iter("item"))
    assert len(items) == len(RAMP)
    assert (float(items[0].get("value", "")), float(items[-1].get("value", ""))) == (low, high)
    assert (items[0].get("color"), items[-1].get("color")) == ("#440154", "#fde725")
