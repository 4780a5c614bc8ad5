"""Split: the rule that puts each pixel into training, validation or test, or into none of them (the buffer)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime as Datetime
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import TypeAdapter
from shapely.geometry.base import BaseGeometry

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.footprint import area_footprint, grid_footprint
from swath.imagery.geometry.image_grid import area_mask
from swath.imagery.geometry.lonlat import buffer_metres, pixel_lonlat
from swath.imagery.sources.stac_items import parse_interval
from swath.spec.fields.area import Area
from swath.spec.fields.split import AreaSplit, BlockSplit, ColumnSplit, SceneSplit, SplitSpec
from swath.storage.address import redacted
from swath.training.split.blocks import BUFFER, TEST, TRAIN, VALIDATION, LatitudeBlocks

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.imagery.scene import Scene, Scenes

__all__ = ["BUFFER", "SPLIT_NAMES", "TEST", "TRAIN", "VALIDATION", "Split", "make_split"]

SPLIT_NAMES = ("train", "validation", "test")
"""By the number of the split."""
_SLIVER = 1e-6
"""Share of a footprint that two neighbours may have in common by rounding."""
_TIME = re.compile(r"[0-9]{4}[0-9T:Z./+-]*|\.\./[0-9].*")


@dataclass(frozen=True)
class Split:
    """A rule for every place on Earth (or every column of an image). It needs neither imagery nor labels to be applied, so a
    model's contract can hold it."""

    spec: SplitSpec
    seed: int
    untrained: Area | None = None
    """Validation and test areas with the buffer around them, where nothing is trained on (splits by area and by scene)."""
    unvalidated: Area | None = None
    """Test scenes with the buffer around them, where nothing is validated on (splits by scene)."""

    def of(self, image: GeoBox, window: Window, scene_id: str = "", datetime: str | None = None) -> NDArray[np.uint8]:
        """TRAIN, VALIDATION, TEST or BUFFER (in no split) for each pixel of a window of the image, uint8 (height, width).

        The split of a pixel depends on its place (and its scene) alone, not on the window. Raises ImageryError for images
        without a CRS unless the rule is by columns or scene.
        """
        spec = self.spec
        if isinstance(spec, ColumnSplit):
            return np.broadcast_to(_columns(spec, image.shape[1])[window.roi[1]], window.shape).copy()
        if isinstance(spec, SceneSplit):
            number = scene_split(spec, scene_id, datetime)
            splits = np.full(window.shape, number, np.uint8)
            excluded = {TRAIN: self.untrained, VALIDATION: self.unvalidated}.get(number)
            if excluded is not None and image.crs is not None:
                splits[area_mask(excluded, image, window)] = BUFFER
            return splits
        _require_crs(image, spec.by)
        if isinstance(spec, BlockSplit):
            blocks = LatitudeBlocks(spec.size_m, spec.buffer_m, spec.validation, spec.test, self.seed)
            return blocks.of(*pixel_lonlat(image, window))
        splits = np.full(window.shape, TRAIN, np.uint8)
        for area, number in ((self.untrained, BUFFER), (spec.validation, VALIDATION), (spec.test, TEST)):
            if area is not None:
                splits[area_mask(area, image, window)] = number
        return splits

    def of_scenes(self, scenes: Scenes, window: Window) -> NDArray[np.uint8]:
        """As `of`, for an image of one scene (or of several scenes of one split)."""
        return self.of(scenes.image, window, scenes.scenes[0].id, scenes.scenes[0].datetime)

    def document(self) -> dict[str, Any]:
        """The rule as values for JSON, for a model's contract."""
        areas = {name: area.model_dump(mode="json") for name, area in self._areas() if area is not None}
        return {"split": self.spec.model_dump(mode="json"), "seed": self.seed, **areas}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Split:
        """The rule of a `document`. Raises pydantic's ValidationError for anything else."""
        spec: SplitSpec = TypeAdapter(SplitSpec).validate_python(document["split"])
        untrained, unvalidated = (
            Area.model_validate(document[name]) if name in document else None for name in ("held", "tested")
        )
        return cls(spec, int(document["seed"]), untrained, unvalidated)

    def _areas(self) -> tuple[tuple[str, Area | None], ...]:
        """By their keys in contracts."""
        return (("held", self.untrained), ("tested", self.unvalidated))


def make_split(spec: SplitSpec, seed: int, images: Sequence[Scenes]) -> Split:
    """The rule for a training on these images (each of one scene). Raises ImageryError when the images cannot be split so."""
    if isinstance(spec, BlockSplit | AreaSplit):
        for scenes in images:
            _require_crs(scenes.image, spec.by)
    if isinstance(spec, AreaSplit):
        return Split(
            spec,
            seed,
            untrained=_buffered([area_footprint(a) for a in (spec.validation, spec.test) if a], spec.buffer_m),
        )
    if isinstance(spec, ColumnSplit):
        _same_columns(images)
    if isinstance(spec, SceneSplit):
        return _by_scene(spec, seed, images)
    return Split(spec, seed)


def scene_split(spec: SceneSplit, scene_id: str, datetime: str | None) -> int:
    """The split of a scene: TRAIN, VALIDATION or TEST."""
    for number, patterns in ((TEST, spec.test), (VALIDATION, spec.validation)):
        if any(_matches(each, scene_id, datetime) for each in patterns):
            return number
    return TRAIN


def _matches(pattern: str, scene_id: str, datetime: str | None) -> bool:
    if fnmatchcase(scene_id, pattern):
        return True
    if datetime is None or _TIME.fullmatch(pattern) is None:
        return False
    try:
        start, stop = parse_interval(pattern)
    except ImageryError:  # digits that are no date, such as another scene's id
        return False
    moment = Datetime.fromisoformat(datetime)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (start is None or start <= moment) and (stop is None or moment <= stop)


def _by_scene(spec: SceneSplit, seed: int, images: Sequence[Scenes]) -> Split:
    scenes = [scene for image in images for scene in image.scenes]
    _check_distinct(spec, scenes)
    for pattern in (*spec.validation, *spec.test):
        if not any(_matches(pattern, scene.id, scene.datetime) for scene in scenes):
            raise ImageryError(
                f"split: no scene is {pattern!r}; there are {', '.join(sorted(scene.id for scene in scenes))}",
                remedy="Write ids, patterns such as S2A_29RKH_*, or intervals of time such as 2014-06/2014-08.",
            )
    numbers = [_split_of_image(spec, image) for image in images]
    georeferenced = [
        (number, grid_footprint(image.image), image)
        for number, image in zip(numbers, images, strict=True)
        if image.image.crs is not None
    ]
    if spec.overlap == "refuse":
        for (one, footprint, image), (other, other_footprint, beside) in combinations(georeferenced, 2):
            if one != other and _overlap(footprint, other_footprint):
                raise ImageryError(
                    f"split: {image.scenes[0].id} ({SPLIT_NAMES[one]}) and {beside.scenes[0].id} ({SPLIT_NAMES[other]}) "
                    "show the same place",
                    remedy="Split by blocks; or set split.overlap to `buffer` (that place is in no split), or to `allow` where "
                    "the score is to be for other dates.",
                )
    if spec.overlap != "buffer":
        return Split(spec, seed)
    untrained = [footprint for number, footprint, _ in georeferenced if number != TRAIN]
    unvalidated = [footprint for number, footprint, _ in georeferenced if number == TEST]
    return Split(
        spec,
        seed,
        _buffered(untrained, spec.buffer_m) if untrained else None,
        _buffered(unvalidated, spec.buffer_m) if unvalidated else None,
    )


def _check_distinct(spec: SceneSplit, scenes: Sequence[Scene]) -> None:
    """Raise ImageryError where scenes of different files have one id, and a name of the split is that id, or says a folder."""
    hrefs: dict[str, dict[str, None]] = {}
    for scene in scenes:
        hrefs.setdefault(scene.id, {}).setdefault(redacted(scene.bands[0].href), None)
    for name in (*spec.validation, *spec.test):
        scene_id = name if name in hrefs else PurePosixPath(name).stem
        if len(several := list(hrefs.get(scene_id, ()))) > 1:
            raise ImageryError(
                f"split: {len(several)} scenes are named {scene_id!r}: {', '.join(several)}; {name!r} does not tell them apart",
                remedy="A scene of a file has the file's name: give the files different names, or split by blocks, area or time.",
            )


def _split_of_image(spec: SceneSplit, image: Scenes) -> int:
    numbers = {scene_split(spec, scene.id, scene.datetime) for scene in image.scenes}
    if len(numbers) > 1:
        raise ImageryError(
            f"split: {image.scenes[0].id} and {len(image.scenes) - 1} more are one image, and their scenes are in several splits",
            remedy="Split by blocks or by area.",
        )
    return numbers.pop()


def _overlap(one: BaseGeometry, other: BaseGeometry) -> bool:
    return bool(one.intersection(other).area > _SLIVER * min(one.area, other.area))


def _buffered(footprints: Sequence[BaseGeometry], buffer_m: float) -> Area:
    """The union of footprints (degrees), widened by `buffer_m`."""
    return Area(wkt=buffer_metres(shapely.union_all(list(footprints)), buffer_m).wkt, source="excluded from training")


def _columns(spec: ColumnSplit, width: int) -> NDArray[np.uint8]:
    """The split of each column, uint8 (width,)."""
    test = width - round(width * spec.test)
    validation = test - round(width * spec.validation)
    splits = np.full(width, TRAIN, np.uint8)
    splits[max(0, validation - spec.buffer_px) : validation] = BUFFER
    splits[validation:test] = VALIDATION
    splits[test:] = TEST
    return splits


def _same_columns(images: Sequence[Scenes]) -> None:
    georeferenced = [image for image in images if image.image.crs is not None]
    for one, other in combinations(georeferenced, 2):
        if one.image != other.image and _overlap(grid_footprint(one.image), grid_footprint(other.image)):
            raise ImageryError(
                f"split: {one.scenes[0].id} and {other.scenes[0].id} show the same place in different columns",
                remedy="Split by blocks: their grid does not depend on the image.",
            )


def _require_crs(image: GeoBox, by: str) -> None:
    if image.crs is None:
        raise ImageryError(
            f"split: the imagery has no coordinate reference system, so it cannot be split by {by}",
            remedy="Set split.by to columns or scene, or georeference the imagery (gdal_translate -a_srs).",
        )
