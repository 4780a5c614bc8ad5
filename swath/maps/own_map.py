"""Maps of a pipeline of one's own: the tiles of a map to compute one by one, and their values as a published map.

What it publishes is what predict publishes: Cloud-Optimized GeoTIFF, polygons of classes, picture and STAC item, all or nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from swath.errors import PipelineError
from swath.geo import Region, Regions, Window
from swath.imagery.geometry.image_grid import area_mask
from swath.imagery.scene import Scenes, all_scenes
from swath.maps.cog.encoded_part import count_levels, encode_part
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import level_shapes
from swath.maps.layout import MapLayout, plan_sheets
from swath.maps.legend import Legend, class_shares, legend_from_classes
from swath.maps.map_files import MapFiles
from swath.maps.prediction import grid_text
from swath.maps.region_result import RegionResult
from swath.models.contract import DTYPE_RANGES
from swath.spec.fields.output import Output

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area
    from swath.spec.fields.labels import LabelClass
    from swath.storage.publication import Published

NO_CLASS = 255
"""Value of pixels without a class."""


@dataclass(frozen=True)
class MapTile:
    """A window of a map, computed by one call."""

    region: Region
    image: GeoBox
    """Grid of the whole image."""
    encoding: Encoding
    levels: int
    """Resolutions that are encoded, the full one included."""
    values: tuple[int, ...]
    """Values of the classes; empty for a map of numbers."""
    area: Area | None

    @property
    def window(self) -> Window:
        """In pixels of the image grid."""
        return self.region.block.window

    @property
    def geobox(self) -> GeoBox:
        """Grid of the tile."""
        return self.image[self.window.roi]

    def encode(self, values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> RegionResult:
        """The values of the tile, (height, width) or (bands, height, width), as they will stand in the map's file: a small result for
        a call. Pixels that are not `valid` (height, width), outside of the area, NaN or infinite are nodata. Raises PipelineError
        for values that the map cannot hold."""
        array = values[None] if values.ndim == 2 else values
        shape = (self.encoding.bands, *self.window.shape)
        if array.shape != shape:
            raise PipelineError(
                f"the values of {self.window} have the shape {values.shape}; a tile needs {shape}",
                remedy="Give (bands, height, width); with a halo, cut it off: block.cut(values).",
            )
        known = np.ones(self.window.shape, np.bool_) if valid is None else valid
        if known.shape != self.window.shape:
            raise PipelineError(f"valid has the shape {known.shape}; a tile needs {self.window.shape}")
        if self.area is not None:
            known = known & area_mask(self.area, self.image, self.window)
        pixels = self._typed(array, known)
        part = encode_part(self.region.block.index, self.window, pixels, self.encoding, self.levels)
        return RegionResult(self.region.sheet, part)

    def _typed(self, array: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """The values in the map's type, nodata where they are not known."""
        encoding = self.encoding
        there = np.broadcast_to(known, array.shape)
        if array.dtype.kind == "f":
            there = there & np.isfinite(array)
        elif array.dtype.kind not in "iub":
            raise PipelineError(f"values of {array.dtype} are no numbers that a map holds")
        used = array[there]
        low, high = DTYPE_RANGES[encoding.dtype]
        if used.size and not (low <= used.min() and used.max() <= high):
            raise PipelineError(
                f"a map of {encoding.dtype} cannot hold {used.max() if used.max() > high else used.min()}",
                remedy="Give swath.tiles another dtype, or scale the values.",
            )
        if encoding.dtype != "float32" and array.dtype.kind == "f" and (used != np.rint(used)).any():
            raise PipelineError(f"a map of {encoding.dtype} cannot hold fractions", remedy="Round the values first.")
        if self.values and (unknown := np.setdiff1d(used, [*self.values, encoding.nodata])).size:
            raise PipelineError(
                f"the values {', '.join(map(str, unknown[:5]))} are no class: there are {', '.join(map(str, self.values))}"
            )
        result = np.full(array.shape, encoding.nodata, encoding.dtype)
        result[there] = used.astype(encoding.dtype)
        return result


@dataclass(frozen=True)
class MapTiles(Sequence[MapTile]):
    """The tiles of a map: a lazy sequence, to map a task over."""

    regions: Regions
    layout: MapLayout
    legend: Legend
    bands: tuple[str, ...]
    area: Area | None

    def __len__(self) -> int:
        return len(self.regions)

    @overload
    def __getitem__(self, item: int) -> MapTile: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[MapTile]: ...
    def __getitem__(self, item: int | slice) -> MapTile | Sequence[MapTile]:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        region = self.regions[item]
        values = tuple(each.value for each in self.legend)
        image = self.regions.sheets[region.sheet].image
        return MapTile(region, image, self.layout.encoding, self.layout.levels[region.sheet], values, self.area)


def tiles(
    scenes: Scenes,
    output: Output,
    *,
    area: Area | None = None,
    bands: Sequence[str] = (),
    classes: Sequence[LabelClass] = (),
    dtype: str = "float32",
    nodata: float | None = None,
    size: int | None = None,
) -> MapTiles:
    """The tiles of a map on the grid of `scenes`: of the part in `area`, or of everything that they cover.

    Give either the names of the map's `bands`, with their `dtype` (and `nodata`, which is NaN for float32), or the `classes`, whose
    values are their positions from 0 on, with 255 for pixels without one. `size` is the edge of a tile in pixels, a multiple of
    `output.blocksize`; from the map's size when not given. The map does not depend on it.

    Raises AreaError when the area meets no scene, PipelineError for a map that cannot be.
    """
    if bool(bands) == bool(classes):
        raise PipelineError("a map has either bands or classes", remedy="Give swath.tiles one of the two.")
    if size is not None and (size <= 0 or size % output.blocksize):
        raise PipelineError(f"size: {size} is not a multiple of output.blocksize, {output.blocksize}")
    if not classes and dtype not in DTYPE_RANGES:
        raise PipelineError(f"dtype: {dtype} is none of {', '.join(DTYPE_RANGES)}")
    if classes and len(classes) > NO_CLASS:
        raise PipelineError(f"a map holds at most {NO_CLASS} classes, not {len(classes)}")
    if output.probabilities is not None:
        raise PipelineError("output.probabilities: a map without a model has none", remedy="Give them as bands.")
    void = float(NO_CLASS) if classes else _nodata(dtype, nodata)
    encoding = Encoding(
        "uint8" if classes else dtype, void, 1 if classes else len(bands), bool(classes), blocksize=output.blocksize
    )
    regions = plan_sheets((scenes,), area, output, size)
    levels = tuple(
        count_levels(each.size, output.blocksize, len(level_shapes(*each.output.shape, output.blocksize)))
        for each in regions.sheets
    )
    layout = MapLayout(encoding, levels, regions.sheets[0].size)
    names = tuple(bands) or ("class",)
    return MapTiles(regions, layout, legend_from_classes(classes), names, area)


def _nodata(dtype: str, given: float | None) -> float:
    if dtype.startswith("float"):
        return math.nan if given is None else given
    low, high = DTYPE_RANGES[dtype]
    if given is None or not low <= given <= high or given != int(given):
        raise PipelineError(f"nodata: a map of {dtype} needs a number from {low} to {high} for pixels without a value")
    return given


def publish_map(
    values: NDArray[Any] | Callable[[MapTile], NDArray[Any]] | Iterable[RegionResult],
    tiles: MapTiles,
    scenes: Scenes,
    output: Output,
    *,
    lineage: str,
    subtitle: str = "",
    numbers: dict[str, Any] | None = None,
    files: dict[str, str] | None = None,
) -> Published:
    """Write a map and the files beside it, and publish them together.

    `values` are what the tiles' `encode` gave, in any order; or one array of the whole map, ([bands,] height, width) of what `tiles`
    cover together; or a function that gives the values of a tile, which is called here. `lineage` is one sentence for the STAC
    item. `numbers` are more numbers for the report, `files` other texts to publish beside the map, by name.

    Raises PipelineError for values that do not fit, TaskFailed when no pixel is valid or a file cannot be written.
    """
    results = sorted(_results(values, tiles), key=lambda result: result.place)
    writer = MapFiles(
        results, tiles.regions, (scenes,), tiles.layout, output, tiles.legend, bands=tiles.bands, subtitle=subtitle or lineage,
        model=None, lineage=lineage,
    )  # fmt: skip
    with writer:
        for name, text in (files or {}).items():
            writer.add(name, text)
        facts = writer.write()
        shares = class_shares(tiles.legend, facts.counts)
        return writer.publish(
            {
                "shares": [dataclasses.asdict(share) for share in shares],
                "numbers": {
                    "valid pixels": facts.valid,
                    **{f"{share.name} %": round(100 * share.fraction, 3) for share in shares},
                    **(numbers or {}),
                },
                "valid_pixels": facts.valid,
                "megapixels": round(tiles.regions.megapixels, 3),
                "missing_regions": list(facts.missing),
                "input": {
                    "imagery": [
                        f"{each.id}{f', {each.datetime}' if each.datetime else ''}" for each in all_scenes((scenes,))
                    ],
                    "bands": ", ".join(scenes.bands),
                    "grid": [grid_text(blocks.image, blocks.output) for blocks in tiles.regions.sheets],
                    "lineage": lineage,
                    "notes": list(scenes.notes) or "none",
                },
            }
        )


def _results(
    values: NDArray[Any] | Callable[[MapTile], NDArray[Any]] | Iterable[RegionResult], tiles: MapTiles
) -> Iterable[RegionResult]:
    if isinstance(values, np.ndarray):
        whole = _whole(tiles)
        if values.shape[-2:] != whole.shape:
            raise PipelineError(
                f"the array has the shape {values.shape}; the map has {whole.height} x {whole.width} pixels"
            )
        return [tile.encode(values[..., *tile.window.within(whole)]) for tile in tiles]
    if callable(values):
        return [tile.encode(values(tile)) for tile in tiles]
    return values


def _whole(tiles: MapTiles) -> Window:
    """The window that all sheets cover together."""
    windows = [blocks.output for blocks in tiles.regions.sheets]
    top, left = min(each.row for each in windows), min(each.col for each in windows)
    bottom, right = max(each.stop_row for each in windows), max(each.stop_col for each in windows)
    return Window(top, left, bottom - top, right - left)
