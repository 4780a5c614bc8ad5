"""STAC items of a map and of its model: geometry, time, grid, classes, lineage, files."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping

from swath.imagery.geometry.footprint import grid_footprint
from swath.imagery.scene import Scene
from swath.imagery.sources.stac_document import UNKNOWN_TIME
from swath.maps.cog.cog import CogFacts
from swath.maps.legend import Legend
from swath.storage.publication import PublishedFile

FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    FILE,
)
MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
TIME_IS_UNKNOWN = "The imagery does not say when it was taken; start_datetime and end_datetime stand for that."
MAP, PROBABILITIES = "map", "probabilities"
"""Prefixes of the names of these files."""
MEDIA = {
    MAP: (pystac.MediaType.COG, ["data", "map"], "The map"),
    PROBABILITIES: (pystac.MediaType.COG, ["data", "probabilities"], "How probable each class is"),
    ".tif": (pystac.MediaType.COG, ["data"], "A raster"),
    ".parquet": ("application/vnd.apache.parquet", ["data", "vectors"], "Objects of the map as polygons"),
    ".gpkg": (pystac.MediaType.GEOPACKAGE, ["data", "vectors"], "Objects of the map as polygons, as GeoPackage"),
    ".fgb": (pystac.MediaType.FLATGEOBUF, ["data", "vectors"], "Objects of the map as polygons, as FlatGeobuf"),
    ".qml": ("application/xml", ["style"], "Names and colours for QGIS"),
    ".csv": ("text/csv", ["data", "table"], "A table"),
    ".png": (pystac.MediaType.PNG, ["thumbnail", "overview"], "A picture of the map with its legend"),
    ".pmtiles": ("application/vnd.pmtiles", ["data", "vectors", "tiles"], "Objects of the map as vector tiles"),
    ".vrt": ("application/xml", ["data", "index"], "All sheets of the map as one raster"),
    ".gti.gpkg": (pystac.MediaType.GEOPACKAGE, ["index"], "GDAL tile index of the sheets"),
    ".xml": (pystac.MediaType.XML, ["metadata"], "Class names for GIS programs"),
}
"""(media type, roles, title) of a file, by the prefix of a raster's name, or by its suffix."""
KEYS = {
    ".parquet": "vectors", ".gpkg": "geopackage", ".fgb": "flatgeobuf", ".qml": "style", ".pmtiles": "tiles", ".xml": "names",
    ".vrt": "index", ".gti.gpkg": "tile-index",
}  # fmt: skip


@dataclass(frozen=True)
class ModelFacts:
    """The model that made a map, for its STAC item."""

    name: str
    href: str
    """Path or URL of the weights."""
    sha256: str
    artifact_type: str
    """Format of the weights as the extension names it, such as `torch.export.save`."""
    bands: tuple[str, ...]
    fields: dict[str, Any]
    """The `mlm:` fields of its contract."""


def write_item(
    path: Path,
    identity: str,
    grid: GeoBox,
    facts: CogFacts,
    files: Sequence[PublishedFile],
    scenes: Sequence[Scene],
    *,
    classes: Legend = (),
    software: Mapping[str, str],
    lineage: str,
    model: str = "",
    probabilities: CogFacts | None = None,
    scale: float = 1.0,
) -> None:
    """Write a map's item as JSON. `model` is the path of the model's item, `probabilities` are the facts on the file of
    probabilities, `scale` is the scale of its values. Nothing in the item depends on when or where the run was."""
    item = make_item(
        identity, grid, facts, files, scenes, classes=classes, software=software, lineage=lineage, model=model,
        probabilities=probabilities, scale=scale,
    )  # fmt: skip
    _write(path, item)


def write_model_item(path: Path, model: ModelFacts) -> None:
    """Write the item of the model that made a map: its `mlm:` fields, and the path of its weights."""
    _write(path, make_model_item(model))


def _write(path: Path, item: pystac.Item) -> None:
    path.write_text(json.dumps(item.to_dict(include_self_link=False), indent=2, ensure_ascii=False) + "\n")


def make_model_item(model: ModelFacts) -> pystac.Item:
    """The item of a model, by the STAC extension for machine learning models; without geometry and with a fixed time."""
    item = pystac.Item(
        id=model.name,
        geometry=None,
        bbox=None,
        datetime=None,
        start_datetime=UNKNOWN_TIME[0],
        end_datetime=UNKNOWN_TIME[1],
        properties={"description": "A model that made a map.", **model.fields},
        stac_extensions=[MLM, FILE],
    )
    extra = {
        "mlm:artifact_type": model.artifact_type,
        "file:checksum": "1220" + model.sha256,
        "bands": [{"name": band} for band in model.bands],
    }
    item.add_asset(
        "weights",
        pystac.Asset(model.href, "Weights", None, "application/octet-stream", ["mlm:model", "mlm:weights"], extra),
    )
    return item


def make_item(
    identity: str,
    grid: GeoBox,
    facts: CogFacts,
    files: Sequence[PublishedFile],
    scenes: Sequence[Scene],
    *,
    classes: Legend,
    software: Mapping[str, str],
    lineage: str,
    model: str = "",
    probabilities: CogFacts | None = None,
    scale: float = 1.0,
) -> pystac.Item:
    """The item of a map, with relative links; without geometry when the map has no CRS."""
    geometry, bbox = footprint_and_bbox(grid)
    moment, start, end = item_times(scenes)
    properties: dict[str, Any] = {
        "proj:shape": list(facts.shape),
        "proj:transform": list(facts.transform),
        "processing:level": "L4",
        "processing:software": dict(software),
        "processing:lineage": lineage,
        "derived_from": [scene.id for scene in scenes],
    }
    if facts.crs is not None:
        properties["proj:code" if facts.crs.startswith("EPSG:") else "proj:wkt2"] = facts.crs
    item = pystac.Item(
        id=identity,
        geometry=geometry,
        bbox=bbox,
        datetime=moment,
        start_datetime=start,
        end_datetime=end,
        properties=properties,
        stac_extensions=list(EXTENSIONS),
    )
    if (start, end) == UNKNOWN_TIME:
        properties["description"] = TIME_IS_UNKNOWN
    for file in files:
        if file.name == model:
            continue
        key, asset = make_asset(file)
        if key == MAP:
            asset.extra_fields["bands"] = _bands(facts)
            if classes:
                asset.extra_fields["classification:classes"] = [
                    {"value": c.value, "name": c.name, "color_hint": c.hex[1:].upper()} for c in classes
                ]
        if key == PROBABILITIES and probabilities is not None:
            asset.extra_fields["bands"] = _bands(probabilities, scale)
        item.add_asset(key, asset)
    if model:
        item.add_link(
            pystac.Link("derived_from", f"./{model}", pystac.MediaType.GEOJSON, "The model that made this map")
        )
    return item


def make_asset(file: PublishedFile) -> tuple[str, pystac.Asset]:
    """(key, asset) of a file beside the item. The rasters of all sheets have the same key."""
    path = Path(file.name)
    kind = path.stem.partition("-")[0] if path.suffix == ".tif" else "".join(path.suffixes)
    kind = kind if kind in MEDIA else path.suffix
    media, roles, title = MEDIA.get(kind, (None, ["data"], file.name))
    extra: dict[str, Any] = {"file:size": file.bytes, "file:checksum": "1220" + file.sha256}
    asset = pystac.Asset(f"./{file.name}", title, None, media, list(roles), extra)
    if path.suffix == ".tif" and kind in MEDIA:
        return kind, asset
    if kind not in KEYS:
        return path.stem, asset
    stem = file.name.partition(".")[0]
    which = stem if stem.startswith(PROBABILITIES) else stem.partition("-")[2]  # of several grids or sheets
    return f"{KEYS[kind]}-{which}" if which else KEYS[kind], asset


def item_times(
    scenes: Sequence[Scene],
) -> tuple[datetime.datetime | None, datetime.datetime | None, datetime.datetime | None]:
    """(datetime, start_datetime, end_datetime) of an item of these scenes: one time, their interval, or UNKNOWN_TIME."""
    times = scene_times(scenes)
    if not times:
        return None, *UNKNOWN_TIME
    return (times[0], None, None) if times[0] == times[-1] else (None, times[0], times[-1])


def scene_times(scenes: Sequence[Scene]) -> list[datetime.datetime]:
    """The times of the scenes, sorted; scenes without a time are left out."""
    return sorted(datetime.datetime.fromisoformat(scene.datetime) for scene in scenes if scene.datetime)


def footprint_and_bbox(grid: GeoBox) -> tuple[dict[str, Any] | None, list[float] | None]:
    """(GeoJSON geometry, bbox) of a grid in degrees; (None, None) without a CRS."""
    footprint = _outline(grid)
    return (None, None) if footprint is None else (mapping(footprint), _bbox(footprint))


def _outline(grid: GeoBox) -> Any:
    """The footprint of a grid in degrees, simplified to a tenth of a pixel; None without a CRS."""
    if grid.crs is None:
        return None
    footprint = grid_footprint(grid)
    pixel = math.sqrt(footprint.area / (grid.shape[0] * grid.shape[1]))
    simple = shapely.transform(footprint.simplify(pixel / 10), lambda points: points.round(7))
    parts = list(getattr(simple, "geoms", [simple]))
    return parts[0] if len(parts) == 1 else simple


def _bbox(footprint: Any) -> list[float]:
    """[west, south, east, north]; west > east when the map crosses the antimeridian."""
    west, south, east, north = footprint.bounds
    parts = list(getattr(footprint, "geoms", [footprint]))
    if west == -180 and east == 180 and len(parts) > 1:
        west = min(part.bounds[0] for part in parts if part.bounds[0] > 0)
        east = max(part.bounds[2] for part in parts if part.bounds[2] < 0)
    return [west, south, east, north]


def _bands(facts: CogFacts, scale: float = 1.0) -> list[dict[str, Any]]:
    nodata: Any = facts.nodata if facts.nodata == facts.nodata else "nan"
    names = ("minimum", "maximum", "mean", "stddev", "valid_percent")
    return [
        {
            "name": name,
            "data_type": facts.dtype,
            "nodata": int(nodata) if nodata != "nan" and float(nodata).is_integer() else nodata,
            "statistics": {k: v for k, v in statistics.items() if k in names},
            "raster:sampling": "area",
            **({"raster:scale": scale, "raster:offset": 0} if scale != 1 else {}),
        }
        for name, statistics in zip(facts.bands, facts.statistics, strict=True)
    ]
