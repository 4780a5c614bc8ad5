"""Resolution of a model compared with that of the imagery that it is given: objects of another size in pixels are not recognised."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from swath.imagery.geometry.pixel_area import PixelArea

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.imagery.scene import Scenes
    from swath.models.contract import Contract

log = logging.getLogger(__name__)

LARGEST_RATIO = 1.5
"""Of the pixels' size and the model's, from which on a note says so. 10 m and 15 m are the same kind of image; 5 m and 26 m are not."""


def resolution_note(contract: Contract, image: GeoBox) -> str:
    """What to say of a model on the pixels of a grid; empty where the sizes are near enough, or one of them is not known."""
    model_m = contract.resolution_m
    if model_m is None:
        return ""
    pixel = PixelArea.of(image)
    if pixel is None:
        return ""
    pixel_m = (pixel.width_m * pixel.height_m) ** 0.5
    ratio = max(pixel_m / model_m, model_m / pixel_m)
    if not ratio > LARGEST_RATIO:
        return ""
    return (
        f"{contract.name} was trained for pixels of {model_m:g} m (swath:resolution_m), and these have {pixel_m:.3g} m, "
        f"{ratio:.1f} times {'less' if pixel_m < model_m else 'more'}: the map may be wrong throughout. Set grid.resolution to "
        f"{model_m:g} m, or use a model for this resolution"
    )


def with_resolution_notes(grids: tuple[Scenes, ...], contract: Contract) -> tuple[Scenes, ...]:
    """The scenes, with a note and a warning in the log where their pixels are of another size than the model's."""
    found = []
    for scenes in grids:
        note = resolution_note(contract, scenes.image)
        if note:
            log.warning(note)
        found.append(dataclasses.replace(scenes, notes=(*scenes.notes, note)) if note else scenes)
    return tuple(found)
