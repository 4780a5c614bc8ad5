"""Pairs of dates: scenes with the bands of two dates, for models that take both at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swath.errors import ImageryError
from swath.imagery.geometry.placement import band_window
from swath.imagery.scene import Scene, Scenes
from swath.imagery.sources.find import find, resampling_notes

if TYPE_CHECKING:
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import Imagery


def find_date_pairs(
    before: Imagery, after: Imagery, bands: tuple[str, ...], area: Area | None = None, grid: GridSpec | None = None
) -> Scenes:
    """Every scene of one date combined with every scene of the other that it intersects, on the grid of `before`. `bands` are the
    model's: the first half is read from `before`, the second from `after`. A pixel is valid where both dates are.

    Raises ImageryError when the number of bands is odd, the dates do not intersect, or their mosaic rules or resampling differ.
    """
    if len(bands) % 2:
        raise ImageryError(
            f"the model takes {len(bands)} bands, which are not as many of each date: {', '.join(bands)}",
            remedy="Use a model of two dates, or `dates: apart`.",
        )
    if before.mask is not None or after.mask is not None:
        raise ImageryError(
            "imagery.mask: a model of two dates cannot have masks, for a pair of scenes has two of them",
            remedy="Load each date with its mask first (pipeline: load), and take what is loaded.",
        )
    for name in ("mosaic", "resampling"):
        if getattr(before, name) != getattr(after, name):
            raise ImageryError(
                f"imagery.{name}: before has {getattr(before, name)}, after has {getattr(after, name)}",
                remedy="Give both the same.",
            )
    half = len(bands) // 2
    first, second = find(before, bands[:half], area, grid), find(after, bands[half:], area, grid)
    if (first.image.crs is None) != (second.image.crs is None):
        raise ImageryError(
            "one of the dates has no coordinate reference system, so the two cannot be brought together",
            remedy="Georeference it with gdal_translate -a_srs.",
        )
    scenes = tuple(
        Scene(f"{one.id} and {other.id}", (*one.bands, *other.bands), other.datetime)
        for one in first.scenes
        for other in second.scenes
        if _meet(one, other, first)
    )
    if not scenes:
        raise ImageryError("the two dates do not intersect", remedy="Check the files, and their CRS.")
    both = replace(first, scenes=scenes, bands=bands)
    return replace(both, notes=tuple(dict.fromkeys([*first.notes, *second.notes, *resampling_notes(both)])))


def _meet(one: Scene, other: Scene, scenes: Scenes) -> bool:
    places = [band_window(band.geobox, scenes.image) for band in (one.bands[0], other.bands[0])]
    return places[0].intersection(places[1]) is not None
