"""The layout of a map: its sheets, their regions, and the encoding of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import shapely

from swath.errors import AreaError
from swath.geo import Blocks, Regions, Window, sheet_windows
from swath.imagery.geometry.footprint import area_footprint, grid_footprint
from swath.imagery.geometry.image_grid import output_window, select_blocks
from swath.imagery.geometry.utm_zones import owned_window
from swath.maps.cog.encoded_part import count_levels
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import level_shapes
from swath.models.probabilities import ProbabilityBands, probability_bands
from swath.models.tile_size import tile_edge

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.models.contract import ModelInfo
    from swath.spec.fields.area import Area
    from swath.spec.fields.output import Output

MAX_REGION_EDGE = 4096
"""Largest edge of a region that is chosen, in pixels."""
MIN_REGIONS = 8
"""A map gets at least so many regions, as long as they are larger than one tile."""


@dataclass(frozen=True)
class MapLayout:
    """What all regions of a map share, beside imagery and model."""

    encoding: Encoding
    """Of the map's file."""
    levels: tuple[int, ...]
    """For each sheet: resolutions of the file that a region encodes, the full one included."""
    edge: int
    """Edge of the tiles for the network in pixels, without halo. The map does not depend on it."""
    layers: ProbabilityBands | None = None
    """The bands of the file of probabilities; None when there is none."""

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Of the map, and of its probabilities when there are any."""
        if self.layers is None:
            return (self.encoding,)
        layers = self.layers
        return (
            self.encoding,
            Encoding(layers.dtype, layers.nodata, len(layers.names), blocksize=self.encoding.blocksize),
        )


def choose_region_edge(windows: Sequence[Window], blocksize: int) -> int:
    """Edge in pixels of the regions of a map with these windows: a power of two times `blocksize`."""
    edge = max(blocksize, MAX_REGION_EDGE // blocksize * blocksize)
    while (
        edge > blocksize
        and sum(-(-window.height // edge) * -(-window.width // edge) for window in windows) < MIN_REGIONS
    ):
        edge //= 2
    return edge


def grid_windows(grids: Sequence[Scenes], area: Area | None) -> dict[int, Window]:
    """The window to map on each grid, by the grid's number; grids without a pixel are left out. `grids` are the scenes of each
    grid of the map, see swath.imagery.sources.find.find_sheets. Raises AreaError when the area meets none of them."""
    windows: dict[int, Window] = {}
    outside: AreaError | None = None
    for number, scenes in enumerate(grids):
        try:
            window = output_window(scenes.image, area)
            _check_scenes_meet(scenes, area)
        except AreaError as error:
            outside = outside or error
            continue
        owned = owned_window(scenes)
        within = None if owned is None else window.intersection(owned)
        if within is not None:
            windows[number] = within
    if not windows:
        raise outside or AreaError("the area has no pixel of the imagery")
    return windows


def _check_scenes_meet(scenes: Scenes, area: Area | None) -> None:
    """Raise AreaError when the area lies within the grid of all scenes, but in none of them."""
    if area is None or scenes.image.crs is None:  # without a CRS nothing says where a scene is
        return
    footprints = [grid_footprint(band.geobox) for scene in scenes.scenes for band in scene.bands[:1]]
    if not footprints or area_footprint(area).intersects(shapely.union_all(footprints)):
        return
    raise AreaError(
        f"the area{f' ({area.source})' if area.source else ''} lies between the scenes: none of {len(footprints)} has a pixel there",
        remedy="Give an area that a scene covers, or the scenes that cover it.",
    )


def plan_sheets(
    grids: Sequence[Scenes], area: Area | None, output: Output, region: int | None, *, halo: int = 0, stride: int = 1
) -> Regions:
    """The sheets of a map and their regions. Raises AreaError when the area meets none of the grids."""
    windows = grid_windows(grids, area)
    edge = region or choose_region_edge(list(windows.values()), output.blocksize)
    sheets, grid_numbers = [], []
    for number, window in windows.items():
        for sheet in sheet_windows(window, edge, output.sheet):
            blocks = Blocks(grids[number].image, sheet, edge, halo, stride)
            sheets.append(select_blocks(blocks, area))
            grid_numbers.append(number)
    return Regions(tuple(sheets), tuple(grid_numbers))


def byte_layout(regions: Regions, output: Output, nodata: int) -> MapLayout:
    """The layout of a map of classes that no model makes: uint8 with the given nodata value."""
    encoding = Encoding("uint8", nodata, 1, classes=True, blocksize=output.blocksize)
    return MapLayout(encoding, _levels(regions, output.blocksize), regions.sheets[0].size)


def _levels(regions: Regions, blocksize: int) -> tuple[int, ...]:
    """For each sheet: how many resolutions a region encodes."""
    counts = [len(level_shapes(*each.output.shape, blocksize)) for each in regions.sheets]
    return tuple(count_levels(each.size, blocksize, most) for each, most in zip(regions.sheets, counts, strict=True))


def model_layout(regions: Regions, model: ModelInfo, channels: int, output: Output) -> MapLayout:
    """The layout of a model's map; `channels` are the network's outputs for a pixel."""
    contract, size = model.contract, output.blocksize
    classes = contract.output == "classes"
    encoding = Encoding(
        contract.dtype, contract.nodata, 1 if classes else channels, classes and bool(contract.classes), blocksize=size
    )
    edge = min(regions.sheets[0].size, max(size, tile_edge(model)))
    applied = model.gives_probabilities
    layers = probability_bands(contract, output.probabilities, applied=applied) if output.probabilities else None
    return MapLayout(encoding, _levels(regions, size), edge, layers)
