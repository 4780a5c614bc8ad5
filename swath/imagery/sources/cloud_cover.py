"""Cloud cover of whole scenes, and scenes sorted by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swath.imagery.reading.dataset_cache import DATASETS
from swath.imagery.reading.open_raster import gdal_errors
from swath.imagery.reading.quality_mask import has_quality, usable
from swath.imagery.scene import Scene

if TYPE_CHECKING:
    from swath.spec.fields.imagery import Mask

OVERVIEW_EDGE = 1024
"""A quality band is read with at most so many pixels on a side, from its overviews where it has some."""


def sort_by_cloud_cover(scenes: tuple[Scene, ...], mask: Mask | None, notes: list[str]) -> tuple[Scene, ...]:
    """The scenes with their cloud cover, the least cloudy first.

    The cover comes from the scene's metadata, else it is the share of pixels that `mask` rejects among those with a quality value;
    scenes with neither come last, with a note. Scenes with equal cover keep their order. Raises ReadFailed and ImageryError.
    """
    known = tuple(_with_cover(scene, mask) for scene in scenes)
    unknown = [scene.id for scene in known if scene.cloud_cover is None]
    if unknown:
        notes.append(
            f"the cloud cover of these scenes is not known, so they come last: {', '.join(unknown[:5])}"
            f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}"
        )
    return tuple(sorted(known, key=lambda scene: 101.0 if scene.cloud_cover is None else scene.cloud_cover))


def _with_cover(scene: Scene, mask: Mask | None) -> Scene:
    if scene.cloud_cover is not None or mask is None or scene.quality is None:
        return scene
    return replace(scene, cloud_cover=rejected_percent(scene, mask))


def rejected_percent(scene: Scene, mask: Mask) -> float | None:
    """Percent of the scene's pixels with a quality value that `mask` rejects; None when there are no such pixels."""
    band = scene.quality
    if band is None:
        return None
    with gdal_errors(band.href, "looking at its clouds"):
        file = DATASETS.file(band)
        height, width = (min(length, OVERVIEW_EDGE) for length in file.shape)
        values = file.read(band.index, out_shape=(height, width))
    rated = has_quality(mask, values)
    count = int(rated.sum())
    return 100 * int((rated & ~usable(mask, values)).sum()) / count if count else None
