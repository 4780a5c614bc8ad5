"""Scenes: what there is to read, as plain values. Nothing here opens a file, and nothing here knows of STAC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.imagery import Mask


@dataclass(frozen=True)
class Band:
    """One band of one scene: where its pixels are and what they mean."""

    name: str
    """As the model's contract or the spec calls it."""
    href: str
    """Absolute path or URL that swath.imagery can open."""
    index: int
    """1-based band number in that file."""
    geobox: GeoBox
    """The band's own grid."""
    dtype: str
    nodata: float | None = None
    """Declared nodata; None means that the file's own mask (alpha, mask band, nodata tag) decides."""
    scale: float | None = None
    """Physical value = number * scale + offset; None when nobody says so."""
    offset: float | None = None
    stamp: str = ""
    """Changes when the file changes (size and modification time, or etag), so that finished work is redone only then."""


@dataclass(frozen=True)
class Scene:
    """One image: its bands, its time, its quality band."""

    id: str
    bands: tuple[Band, ...]
    """In the order in which they were asked for."""
    datetime: str | None = None
    """RFC 3339, UTC."""
    quality: Band | None = None
    """The band that `Imagery.mask` reads."""
    cloud_cover: float | None = None
    """Percent."""


@dataclass(frozen=True)
class Scenes:
    """Everything a map is made from, and the grid on which it is read."""

    scenes: tuple[Scene, ...]
    """Ordered as the mosaic rule takes them: for `first` the first valid pixel wins."""
    image: GeoBox
    """The whole image's grid: it covers all scenes (or their part around the area), snapped to the source's pixels."""
    bands: tuple[str, ...]
    mosaic: str = "first"
    resampling: str = "nearest"
    mask: Mask | None = None
    zones: tuple[str, ...] = ()
    """UTM zones of all sheets, such as 28N and 29N, where the map is one sheet for each; this one's is that of `image`."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know: repaired, guessed, resampled."""


def all_scenes(grids: Sequence[Scenes]) -> list[Scene]:
    """Every scene of a map once, whichever of its grids it is read on."""
    return list({scene.id: scene for scenes in grids for scene in scenes.scenes}.values())
