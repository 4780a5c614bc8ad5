"""TrainedScene: which pixels of an image a model was trained on, by the scenes and the split that its contract describes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from swath.imagery.geometry.footprint import grid_footprint
from swath.imagery.geometry.image_grid import area_mask
from swath.spec.fields.area import Area
from swath.spec.fields.split import ColumnSplit
from swath.training.split.split import TRAIN, Split

if TYPE_CHECKING:
    from swath.geo import Window
    from swath.imagery.scene import Scenes


@dataclass(frozen=True)
class TrainedScene:
    """A scene of the training that covers pixels of a scored image."""

    id: str
    datetime: str | None
    area: Area | None
    """Its footprint, cut by the training's area; None where places are not known and the id says that it is this image."""
    same: bool
    """Whether the scored image is this scene; otherwise it shows the same ground, such as on another date."""


def trained_scenes(scenes: Scenes, document: Iterable[dict[str, Any]]) -> tuple[TrainedScene, ...]:
    """Those of the training's scenes (`swath:training.scenes` of a contract) that cover pixels of an image."""
    own = {scene.id: scene.datetime for scene in scenes.scenes}
    dates = {scene.datetime for scene in scenes.scenes} - {None}
    footprint = grid_footprint(scenes.image) if scenes.image.crs is not None else None
    found = []
    for each in document:
        name, moment = str(each.get("id")), each.get("datetime")
        same = (name in own and None in (moment, own[name])) or moment in dates
        ground = _ground(each)
        if footprint is None or ground is None:
            if name in own:
                found.append(TrainedScene(name, moment, None, True))
        elif footprint.intersection(ground).area > 0:
            found.append(TrainedScene(name, moment, Area(wkt=ground.wkt, source="trained on"), same))
    return tuple(found)


def trained_pixels(
    scenes: Scenes, trained: Sequence[TrainedScene], split: Split | None, window: Window
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of a window (height, width): the pixels that were trained on, and those whose ground was trained on in another image only.

    Without a split all pixels of a scene count; so do those of another image where the split is by columns, which are not the same
    there.
    """
    masks = {same: np.zeros(window.shape, np.bool_) for same in (True, False)}
    for each in trained:
        mask = np.ones(window.shape, np.bool_) if each.area is None else area_mask(each.area, scenes.image, window)
        if split is not None and mask.any() and (each.same or not isinstance(split.spec, ColumnSplit)):
            mask &= split.of(scenes.image, window, each.id, each.datetime) == TRAIN
        masks[each.same] |= mask
    return masks[True], masks[False] & ~masks[True]


def _ground(scene: dict[str, Any]) -> BaseGeometry | None:
    """The footprint of a scene in degrees, from its geometry; of contracts before 0.2 its bounding box."""
    if scene.get("geometry"):
        return shape(scene["geometry"])
    if not scene.get("bbox"):
        return None
    west, south, east, north = scene["bbox"]
    if west <= east:
        return box(west, south, east, north)
    return box(west, south, 180, north).union(box(-180, south, east, north))
