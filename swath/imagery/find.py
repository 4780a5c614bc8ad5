"""Scenes from either source, on one image grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.imagery import files, stac
from swath.imagery.scene import Scenes
from swath.spec.fields import FilesImagery

if TYPE_CHECKING:
    from swath.spec.fields import Area, GridSpec, StacImagery


def find(
    imagery: FilesImagery | StacImagery,
    bands: tuple[str, ...] | None = None,
    area: Area | None = None,
    grid: GridSpec | None = None,
) -> Scenes:
    """Everything a map of `imagery` is made from. `bands` are the model's names."""
    if isinstance(imagery, FilesImagery):
        return files.find_scenes(imagery, bands, area, grid)
    return stac.find_scenes(imagery, bands, area, grid)
