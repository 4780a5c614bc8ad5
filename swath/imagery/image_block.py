"""Pixels for a pipeline of one's own: the imagery of a spec on one grid, in windows, with the values that predict gives a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import ImageryError, MissingExtra
from swath.geo import Window, source_window
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.imagery.sources.scene_units import check_units

if TYPE_CHECKING:
    import xarray

    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import FilesImagery, StacImagery

Units = Literal["dn", "reflectance"]


class HasWindow(Protocol):
    """A part of a map, such as MapTile."""

    @property
    def window(self) -> Window: ...


@dataclass(frozen=True)
class ImageBlock:
    """Pixels of one window of the image grid."""

    pixels: NDArray[Any]
    """(bands, height, width): numbers of the files in their common type, or float32 reflectance. 0 where invalid."""
    valid: NDArray[np.bool_]
    """(height, width): where every band has data, and the mask rejects none."""
    window: Window
    """What was read, with the halo."""
    inner: Window
    """What was asked for."""
    geobox: GeoBox
    """Grid of the pixels."""
    bands: tuple[str, ...]

    def band(self, name: str) -> NDArray[Any]:
        """The pixels of one band (height, width). Raises ImageryError for a name that was not read."""
        if name not in self.bands:
            raise ImageryError(f"band {name} was not read: there are {', '.join(self.bands)}")
        found: NDArray[Any] = self.pixels[self.bands.index(name)]
        return found

    def cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of all pixels, (..., height, width), without those of the halo."""
        result: NDArray[Any] = values[..., *self.inner.within(self.window)]
        return result

    def to_xarray(self) -> xarray.DataArray:
        """The pixels as float32 (float64 where that is needed) with the dimensions band, y and x, their coordinates and CRS; NaN
        where invalid. Raises MissingExtra without xarray."""
        try:
            import xarray as xr
            from odc.geo.xr import xr_coords
        except ImportError:
            raise MissingExtra("xarray", "xarray", "to_xarray") from None
        values = self.pixels.astype(np.result_type(self.pixels.dtype, np.float32), copy=True)
        values[:, ~self.valid] = np.nan
        coordinates = xr_coords(self.geobox)
        axes = self.geobox.dimensions
        return xr.DataArray(values, coords={"band": list(self.bands), **coordinates}, dims=("band", *axes))


def find_scenes(
    imagery: FilesImagery | StacImagery,
    bands: tuple[str, ...] | None = None,
    area: Area | None = None,
    grid: GridSpec | None = None,
    *,
    units: Units = "dn",
) -> Scenes:
    """The scenes of imagery on the grid that a map of them would have: that of the spec, or the imagery's own. `bands` are names, or
    those of the imagery when not given. Opens headers only.

    Raises ImageryError as predict does, also where the numbers of scenes stand for different physical values and `units` is dn.
    """
    scenes = find(imagery, bands, area, grid)
    check_units((scenes,), physical=units == "reflectance")
    output_window(scenes.image, area)  # an area outside of the imagery is an error here
    return scenes


def read(scenes: Scenes, where: Window | HasWindow | None = None, *, halo: int = 0, units: Units = "dn") -> ImageBlock:
    """The pixels of a window of the grid, or of a tile of a map, or of the whole grid when not given; with `halo` pixels more on each
    side, as far as the grid goes. They are those that predict gives a model: mosaic, mask, resampling and scale as the imagery says.

    Raises ReadFailed and ImageryError, and ImageryError for a window that is not within the grid.
    """
    whole = output_window(scenes.image, None)
    inner = whole if where is None else where if isinstance(where, Window) else where.window
    if halo < 0 or inner.intersection(whole) != inner:
        raise ImageryError(
            f"{inner} with a halo of {halo} is not within the grid of {whole.height} x {whole.width} pixels",
            remedy="Take windows of swath.tiles, or cut yours at the grid's edges.",
        )
    window = source_window(scenes.image, inner, halo, 1)
    pixels, valid = read_mosaic(scenes, window, reflectance=units == "reflectance")
    return ImageBlock(pixels, valid, window, inner, scenes.image[window.roi], scenes.bands)
