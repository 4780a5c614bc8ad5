"""Parcel NDVI: the NDVI of every scene as one band of a map, and its mean in every parcel as a table.

scenes      the imagery on its grid                                          on the client
tiles       the tiles of the map                                             on the client
measured    one call per tile: NDVI, and sums for the parcels in it          streamed over the workers
map         COG, picture, STAC item and parcels.csv                          on the client, all or nothing
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Literal

import swath
from swath import Area, Imagery, InputPath, Output, Spec, pipeline, task


class ParcelNdvi(Spec):
    """NDVI per scene, with statistics for each parcel."""

    imagery: Imagery
    """With the bands red and nir."""
    parcels: InputPath
    """Polygons: GeoPackage, GeoJSON or other."""
    output: Output
    """Folder of the map."""
    key: str = "id"
    """The column that names a parcel."""
    units: Literal["reflectance", "dn"] = "reflectance"
    """`dn` for imagery of which nothing says the scale."""
    area: Area | None = None
    """Where to map; everything that the imagery covers when not given."""


@dataclass(frozen=True)
class Measured:
    """What one call gives."""

    tile: Any
    """The tile of the map, encoded."""
    sums: dict[tuple[str, str], tuple[int, float, float, float]]
    """By parcel and scene: pixels, their sum, minimum and maximum in this tile."""


@pipeline
def parcel_ndvi(spec: ParcelNdvi) -> Any:
    """NDVI per scene, with statistics for each parcel."""
    scenes = find(spec.imagery, area=spec.area, units=spec.units)
    tiles = plan(scenes, output=spec.output, area=spec.area)
    measured = measure.map(tiles, scenes=scenes, parcels=spec.parcels, key=spec.key, units=spec.units)
    return publish(measured, tiles=tiles, scenes=scenes, output=spec.output)


@task(cache=False, on_client=True)
def find(imagery: Imagery, *, area: Area | None, units: str) -> Any:
    return swath.find_scenes(imagery, ("red", "nir"), area, units=units)


@task(on_client=True)
def plan(scenes: Any, *, output: Output, area: Area | None) -> Any:
    return swath.tiles(scenes, output, area=area, bands=[scene.id for scene in scenes.scenes])


@task(retries=2)
def measure(tile: Any, *, scenes: Any, parcels: InputPath, key: str, units: str) -> Measured:
    """NDVI of every scene in one tile."""
    import geopandas
    import numpy as np
    from rasterio.features import geometry_mask
    from shapely import box

    shape, layers, sums = tile.window.shape, [], {}
    crs = str(tile.geobox.crs)
    here = geopandas.GeoSeries([box(*tile.geobox.boundingbox)], crs=crs)
    near = geopandas.read_file(parcels, bbox=here).to_crs(crs)  # only those that meet the tile are read
    inside = {
        str(parcel): ~geometry_mask([shape_], shape, tile.geobox.affine)  # the pixels whose centre is in the polygon
        for parcel, shape_ in zip(near[key], near.geometry, strict=True)
    }
    for scene in scenes.scenes:
        block = swath.read(replace(scenes, scenes=(scene,)), tile, units=units)
        red, nir = block.band("red").astype(np.float32), block.band("nir").astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            ndvi = (nir - red) / (nir + red)
        ndvi[~block.valid] = np.nan
        layers.append(ndvi)
        for parcel, mask in inside.items():
            values = ndvi[mask & np.isfinite(ndvi)].astype(np.float64)
            if values.size:
                sums[parcel, scene.id] = (values.size, float(values.sum()), float(values.min()), float(values.max()))
    return Measured(tile.encode(np.stack(layers)), sums)


@task(on_client=True)
def publish(measured: Any, *, tiles: Any, scenes: Any, output: Output) -> Any:
    """The map, and the table of all parcels: a parcel that several tiles share is summed over them."""
    total: dict[tuple[str, str], list[tuple[int, float, float, float]]] = defaultdict(list)
    for each in measured:
        for place, part in each.sums.items():
            total[place].append(part)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["parcel", "scene", "pixels", "mean", "min", "max"])
    for (parcel, scene), parts in sorted(total.items()):
        counts, added, least, most = zip(*parts, strict=True)
        rows.writerow(
            [parcel, scene, sum(counts), f"{sum(added) / sum(counts):.6f}", f"{min(least):.6f}", f"{max(most):.6f}"]
        )
    return swath.publish_map(
        (each.tile for each in measured), tiles, scenes, output,
        lineage="NDVI of each scene, (nir - red) / (nir + red)", files={"parcels.csv": table.getvalue()},
        numbers={"parcels": len({parcel for parcel, _ in total})},
    )  # fmt: skip
