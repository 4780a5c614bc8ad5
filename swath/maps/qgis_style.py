"""A style that QGIS takes by itself: a QML file with the map's name, with the classes' names and colours, or a ramp of values."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as Xml

from swath.maps.color_ramp import RAMP
from swath.maps.legend import Legend

_DEVIATIONS = 2.0
"""Standard deviations on each side of the mean that the ramp covers, as far as there are values."""


def style_text(legend: Legend, statistics: Mapping[str, float]) -> str:
    """The QML of a map of these classes; of a map of values that of its first band, whose statistics these are."""
    root = Xml.Element("qgis", {"version": "3.0", "styleCategories": "Symbology"})
    renderer = Xml.SubElement(
        Xml.SubElement(root, "pipe"), "rasterrenderer", {"band": "1", "opacity": "1", "alphaBand": "-1"}
    )
    Xml.SubElement(renderer, "rasterTransparency")
    if legend:
        renderer.set("type", "paletted")
        palette = Xml.SubElement(renderer, "colorPalette")
        for each in legend:
            entry = {"value": str(each.value), "label": each.name, "color": each.hex, "alpha": "255"}
            Xml.SubElement(palette, "paletteEntry", entry)
    else:
        _add_ramp(renderer, *_range(statistics))
    Xml.indent(root)
    document: str = Xml.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{document}\n"


def _add_ramp(renderer: Xml.Element, low: float, high: float) -> None:
    renderer.set("type", "singlebandpseudocolor")
    renderer.set("classificationMin", f"{low:.9g}")
    renderer.set("classificationMax", f"{high:.9g}")
    shader = Xml.SubElement(
        Xml.SubElement(renderer, "rastershader"), "colorrampshader",
        {"colorRampType": "INTERPOLATED", "clip": "0", "minimumValue": f"{low:.9g}", "maximumValue": f"{high:.9g}"},
    )  # fmt: skip
    for number, color in enumerate(RAMP):
        value = low + (high - low) * number / (len(RAMP) - 1)
        item = {
            "value": f"{value:.9g}",
            "label": f"{value:.4g}",
            "color": "#{:02x}{:02x}{:02x}".format(*color),
            "alpha": "255",
        }
        Xml.SubElement(shader, "item", item)


def _range(statistics: Mapping[str, float]) -> tuple[float, float]:
    """The values from the first colour to the last."""
    if "mean" not in statistics:
        return 0.0, 1.0
    mean, spread = statistics["mean"], _DEVIATIONS * statistics["stddev"]
    low, high = max(statistics["minimum"], mean - spread), min(statistics["maximum"], mean + spread)
    return (low, high) if low < high else (low, low + 1)
