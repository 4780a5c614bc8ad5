"""Whether the numbers of several scenes mean the same, for models and rules that take numbers, and whether scales are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from swath.errors import ImageryError
from swath.imagery.reading.mosaic import check_scale

if TYPE_CHECKING:
    from swath.imagery.scene import Band, Scene, Scenes

_TOLERANCE = 1e-6
"""Relative difference of scales that are rounded differently."""


def check_units(grids: Iterable[Scenes], *, physical: bool) -> None:
    """Raise ImageryError when the bands cannot be used in the units that are needed: physical values of a band without a known
    scale, or numbers that stand for different physical values, as of Sentinel-2 with and without its offset of 1000."""
    grids = tuple(grids)
    if physical:
        for scenes in grids:
            check_scale(scenes)
        return
    scenes_of_all = [scene for scenes in grids for scene in scenes.scenes]
    for number in range(len(scenes_of_all[0].bands) if scenes_of_all else 0):
        check_comparable([(scene, scene.bands[number]) for scene in scenes_of_all])


def check_date_pairs(both: Scenes) -> None:
    """As `check_units` for numbers, between the two dates: the first half of the bands is compared with the second."""
    half = len(both.bands) // 2
    for scene in both.scenes:
        for first, second in zip(scene.bands[:half], scene.bands[half:], strict=True):
            check_comparable([(scene, first), (scene, second)])


def check_comparable(bands: Iterable[tuple[Scene, Band]]) -> None:
    """Raise ImageryError when scales or offsets of one band in several scenes differ. Bands without a known scale are not compared."""
    known = [(scene, band) for scene, band in bands if band.scale is not None and not band.categorical]
    for scene, band in known[1:]:
        first_scene, first = known[0]
        if not _same(first, band):
            raise ImageryError(
                f"{first_scene.id} and {scene.id}: the numbers of band {band.name} stand for different physical values "
                f"({_text(first)}; {_text(band)}), and the numbers themselves are used",
                remedy="Use reflectance or physical values, or scenes of one kind (imagery.datetime, ids, exclude). If the numbers "
                "mean the same in spite of this, set imagery.scale and imagery.offset.",
            )


def _same(one: Band, other: Band) -> bool:
    offsets = one.offset or 0.0, other.offset or 0.0
    return math.isclose(one.scale or 1.0, other.scale or 1.0, rel_tol=_TOLERANCE) and math.isclose(
        *offsets, rel_tol=_TOLERANCE, abs_tol=1e-12
    )


def _text(band: Band) -> str:
    return f"number * {band.scale:g} {'-' if (band.offset or 0) < 0 else '+'} {abs(band.offset or 0):g}"
