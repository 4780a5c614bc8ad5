"""Images with their labels on one grid, for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import shapely

from swath.errors import AreaError
from swath.imagery.geometry.footprint import grid_footprint, to_degrees
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.labels.labels import LabelSource, VectorSource, find_labels
from swath.imagery.sources.find import find, find_each
from swath.storage.address import redacted

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from swath.imagery.scene import Scenes
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.labels import LabelledImagery


@dataclass(frozen=True)
class LabelledImage:
    """An image with its labels, on one grid."""

    scenes: Scenes
    labels: LabelSource

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the report."""
        return (*self.scenes.notes, *self.labels.notes)


def find_labelled_images(
    data: tuple[LabelledImagery, ...],
    bands: tuple[str, ...] | None,
    classes: tuple[str, ...],
    *,
    mosaic: bool = False,
    grid: GridSpec | None = None,
) -> tuple[LabelledImage, ...]:
    """Every image with its labels: each scene by itself on its own grid, as training reads it (two dates of one place are two
    images), or with `mosaic` one image for each entry of `data`, on `grid` if one is given. Scenes that do not
    intersect an entry's area or its labels are left out.

    Raises what swath.imagery.sources.find and swath.imagery.labels.labels raise; AreaError when that leaves none.
    """
    images = []
    for entry in data:
        found = (
            (find(entry.imagery, bands, entry.area, grid),) if mosaic else find_each(entry.imagery, bands, entry.area)
        )
        outside: AreaError | None = None
        inside = []
        for scenes in found:
            try:
                output_window(scenes.image, entry.area)
                labels = find_labels(entry.labels, scenes, classes, entry.area, entry.imagery)
            except AreaError as error:
                outside = error
                continue
            inside.append(LabelledImage(scenes, labels))
        if not inside and outside is not None:
            raise outside
        check_features_meet([image.labels for image in inside])
        images += inside
    return tuple(images)


def check_features_meet(labels: Sequence[LabelSource]) -> None:
    """Raise AreaError when the features of a vector file lie on none of the images: all pixels would be background."""
    sources = [each.source for each in labels]
    for source in dict.fromkeys(each for each in sources if isinstance(each, VectorSource)):
        extent = _extent(source)
        images = [each.image for each in labels if each.source == source]
        if extent is None or any(extent.intersects(grid_footprint(image)) for image in images):
            continue
        swapped = shapely.transform(extent, lambda points: points[:, ::-1])
        where = ", ".join(f"{number:.4f}" for number in shapely.total_bounds([grid_footprint(each) for each in images]))
        raise AreaError(
            f"{redacted(source.path)}: none of its features lies on the imagery: they are within "
            f"{', '.join(f'{number:.6g}' for number in source.bounds or ())} in {source.crs}, the imagery within {where} degrees",
            remedy="Swapped? With latitude and longitude exchanged they would lie on the imagery; longitude comes first."
            if any(swapped.intersects(grid_footprint(image)) for image in images)
            else "Check the file, and give its CRS with labels.crs if the file has none or a wrong one.",
        )


def _extent(source: VectorSource) -> BaseGeometry | None:
    """The bounds of a file's features in degrees; None when they are not known."""
    if source.bounds is None:
        return None
    west, south, east, north = source.bounds
    # A point or a straight line has bounds without an area; and an image shares at least a pixel with what it meets.
    around = shapely.box(west, south, east, north).buffer(max(east - west, north - south, 1e-6) * 1e-3)
    try:
        return to_degrees(around, source.crs)
    except ValueError:  # outside of the domain of its CRS
        return None
