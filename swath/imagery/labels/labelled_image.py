"""Images with their labels on one grid, for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.errors import AreaError
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.labels.labels import LabelSource, find_labels
from swath.imagery.sources.find import find, find_each

if TYPE_CHECKING:
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
        images += inside
    return tuple(images)
