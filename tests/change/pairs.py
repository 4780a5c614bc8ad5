"""Rasters of classes, and change maps of pairs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from swath.change.comparison import RegionComparison, compare_region
from swath.change.states import MapState, StatePair, find_pair
from swath.change.transition_table import (
    TransitionRow,
    transition_rows,
)
from swath.change.transitions import NODATA
from swath.maps.layout import MapLayout, byte_layout, plan_sheets
from swath.spec.fields.labels import LabelClass
from swath.spec.fields.output import Output

LAND_WATER = (LabelClass(name="land"), LabelClass(name="water"))


def raster(path: Path, values: NDArray[Any], *, crs: str | None = "EPSG:32633", origin: tuple[float, float] = (5e5, 5e6),
           size: float = 10, nodata: float | None = None) -> str:  # fmt: skip
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype, crs=crs,
        transform=from_origin(*origin, size, size), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return str(path)


def pair_of(before: str, after: str, classes: tuple[LabelClass, ...] = LAND_WATER, **options: Any) -> StatePair:
    settings: dict[str, Any] = {"rule": None, "classes": classes, "area": None, "grid": None}
    return find_pair((MapState("then", before), MapState("now", after)), **settings | options)


def compared(pair: StatePair, region: int = 64) -> tuple[NDArray[np.uint8], list[RegionComparison]]:
    """The change map (height, width) and what the calls made."""
    output = Output(to="unused", blocksize=64)
    regions = plan_sheets((pair.scenes,), None, output, region)
    form: MapLayout = byte_layout(regions, output, NODATA)
    made = [compare_region(each, pair, form) for each in regions]
    whole = np.full(pair.scenes.image.shape, NODATA, np.uint8)
    for each in made:
        whole[each.map.window.roi] = each.map.pixels()[0]
    return whole, made


def table(pair: StatePair, region: int = 64) -> tuple[TransitionRow, ...]:
    return transition_rows(compared(pair, region)[1], pair)
