"""Scenes and their bands as plain values: files, grids, dtypes, scaling. Independent of STAC; no file is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.storage.address import redacted

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.imagery import Mask


@dataclass(frozen=True)
class Band:
    """One band of one scene: its file, its grid, and what its values mean."""

    name: str
    """Name in the model's contract or in the spec."""
    href: str
    """Absolute path or URL that swath.imagery can open."""
    index: int
    """1-based band number in that file."""
    geobox: GeoBox
    """The band's own grid."""
    dtype: str
    nodata: float | None = None
    """Declared nodata value; None: the file's own mask (alpha, mask band, nodata tag) decides."""
    scale: float | None = None
    """Physical value = value in the file * scale + offset; None when it is not known."""
    offset: float | None = None
    categorical: bool = False
    """Flags or classes: never interpolated nor scaled."""
    stamp: str = ""
    """Changes when the file changes (size and modification time, or etag): it makes the key of a call depend on the file."""


@dataclass(frozen=True)
class Scene:
    """One image: its bands, its time, its quality band."""

    id: str
    bands: tuple[Band, ...]
    """In the order of the request."""
    datetime: str | None = None
    """RFC 3339, UTC."""
    quality: Band | None = None
    """The band that `Imagery.mask` reads."""
    cloud_cover: float | None = None
    """Percent."""


@dataclass(frozen=True)
class Scenes:
    """All scenes of a map, and the image grid on which they are read."""

    scenes: tuple[Scene, ...]
    """In the order of the mosaic rule: for `first` the first valid pixel wins."""
    image: GeoBox
    """Grid of the whole image: it covers all scenes, and is aligned to the pixels of the first one."""
    bands: tuple[str, ...]
    mosaic: str = "first"
    resampling: str = "nearest"
    """Of measured bands; see `band_resampling`."""
    mask: Mask | None = None
    zones: tuple[str, ...] = ()
    """UTM zones of all grids, such as 28N and 29N, when the map has one grid for each; the zone of this one is that of `image`."""
    yields_to: tuple[GeoBox, ...] = ()
    """Grids of neighbouring zones to which this one gives the pixels along their line, see swath.imagery.geometry.utm_zones."""
    notes: tuple[str, ...] = ()
    """Notes for the report: what was repaired, guessed, resampled."""


def file_of(scene: Scene, band: Band | None = None) -> str:
    """The file of a band (the first one when not given) for a message, with the scene's id where the path does not contain it."""
    href = redacted((band or scene.bands[0]).href)
    return href if scene.id in href else f"{href} (scene {scene.id})"


def band_resampling(band: Band, resampling: str) -> str:
    """How a band is resampled where its scenes are by `resampling`: flags and classes by nearest or mode, which invent no value."""
    return "nearest" if band.categorical and resampling != "mode" else resampling


def all_scenes(grids: Sequence[Scenes]) -> list[Scene]:
    """Every scene of a map once, on whichever of its grids it is read."""
    return list({scene.id: scene for scenes in grids for scene in scenes.scenes}.values())
