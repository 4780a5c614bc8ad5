"""How cloudy a scene is as a whole, and scenes in the order of that."""

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
"""A quality band is looked at with at most so many pixels on a side: from its overviews, where it has some."""


def sort_by_cloud_cover(scenes: tuple[Scene, ...], mask: Mask | None, notes: list[str]) -> tuple[Scene, ...]:
    """The scenes with the fewest clouds first, and with their cover.

    That is the scene's metadata, else the share of pixels that `mask` rejects among those that have a quality; a scene of
    which neither is known comes last. Scenes with equal cover keep their order. Raises ReadFailed and ImageryError.
    """
    known = tuple(_with_cover(scene, mask) for scene in scenes)
    lacking = [scene.id for scene in known if scene.cloud_cover is None]
    if lacking:
        notes.append(
            f"how cloudy these scenes are is not known, so they come last: {', '.join(lacking[:5])}"
            f"{f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''}"
        )
    return tuple(sorted(known, key=lambda scene: 101.0 if scene.cloud_cover is None else scene.cloud_cover))


def _with_cover(scene: Scene, mask: Mask | None) -> Scene:
    if scene.cloud_cover is not None or mask is None or scene.quality is None:
        return scene
    return replace(scene, cloud_cover=rejected_percent(scene, mask))


def rejected_percent(scene: Scene, mask: Mask) -> float | None:
    """Percent of the scene's pixels that its quality band rejects, among those that have a quality; None without any."""
    band = scene.quality
    if band is None:
        return None
    with gdal_errors(band.href, "looking at its clouds"):
        file = DATASETS.file(band)
        height, width = (min(length, OVERVIEW_EDGE) for length in file.shape)
        values = file.read(band.index, out_shape=(height, width))
    seen = has_quality(mask, values)
    count = int(seen.sum())
    return 100 * int((seen & ~usable(mask, values)).sum()) / count if count else None
