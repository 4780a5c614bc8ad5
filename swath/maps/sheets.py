"""A large map in several files: an index that GDAL opens as one raster (VRT, tile index), and a STAC collection."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pystac
import shapely
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.imagery.scene import Scene
from swath.maps.cog.cog import CogFacts
from swath.maps.legend import Legend, color_table
from swath.maps.stac_item import MAP, PROBABILITIES, make_asset, make_item, scene_times
from swath.storage.durable_write import sync, writing
from swath.storage.publication import PublishedFile

COLLECTION = "collection.json"
_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "float16": "Float32", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
_FIXED_TIME = "2000-01-01T00:00:00.000Z"
"""The time of change in a GeoPackage, fixed so that the same sheets give the same bytes."""


@dataclass(frozen=True)
class Sheet:
    """One file of a map."""

    name: str
    """Name of the file, beside the index."""
    window: Window
    """In pixels of the image grid."""
    facts: CogFacts
    probabilities: CogFacts | None = None
    """Facts on the file of probabilities of the same window, when there is one."""
    grid: GeoBox | None = None
    """Grid of the sheet, where the sheets of a map are on several grids."""


def sheet_names(windows: Sequence[Window], stem: str = "map") -> list[str]:
    """Names of the files: `map.tif` for one sheet, `map-ROW-COLUMN.tif` for several, counted from 0."""
    if len(windows) == 1:
        return [f"{stem}.tif"]
    rows = {row: n for n, row in enumerate(sorted({w.row for w in windows}))}
    cols = {col: n for n, col in enumerate(sorted({w.col for w in windows}))}
    digits = len(str(max(len(rows), len(cols)) - 1))
    return [f"{stem}-{rows[w.row]:0{digits}}-{cols[w.col]:0{digits}}.tif" for w in windows]


def merge_facts(sheets: Sequence[Sheet], output: Window, grid: GeoBox) -> CogFacts:
    """The facts on all sheets together; `grid` is that of the output."""
    first = sheets[0].facts
    counts: dict[int, int] = {}
    for sheet in sheets:
        for value, count in sheet.facts.counts.items():
            counts[value] = counts.get(value, 0) + count
    statistics = tuple(
        _pool_statistics([(s.facts.statistics[band], s.facts.shape[0] * s.facts.shape[1]) for s in sheets], output)
        for band in range(len(first.bands))
    )
    return replace(
        first,
        shape=output.shape,
        transform=tuple(grid.affine)[:6],
        size=sum(sheet.facts.size for sheet in sheets),
        valid=sum(sheet.facts.valid for sheet in sheets),
        counts=dict(sorted(counts.items())),
        statistics=statistics,
        blocks=sum(sheet.facts.blocks for sheet in sheets),
        missing=tuple(number for sheet in sheets for number in sheet.facts.missing),
    )


def _pool_statistics(parts: Sequence[tuple[dict[str, float], int]], output: Window) -> dict[str, float]:
    """Statistics of one band over several sheets, from (statistics, pixels) of each."""
    weighted = [(s, s.get("valid_percent", 100.0) / 100 * pixels) for s, pixels in parts if "mean" in s]
    count = sum(weight for _, weight in weighted)
    percent = 100 * count / (output.height * output.width)
    if not count:
        return {"valid_percent": percent}
    mean = sum(s["mean"] * weight for s, weight in weighted) / count
    variance = sum((s["stddev"] ** 2 + (s["mean"] - mean) ** 2) * weight for s, weight in weighted) / count
    return {
        "minimum": min(s["minimum"] for s, _ in weighted),
        "maximum": max(s["maximum"] for s, _ in weighted),
        "mean": mean,
        "stddev": math.sqrt(max(variance, 0)),
        "valid_percent": percent,
    }


def write_index(
    folder: Path,
    sheets: Sequence[Sheet],
    output: Window,
    grid: GeoBox,
    *,
    classes: Legend = (),
    scale: float = 1.0,
    stem: str = "map",
) -> None:
    """Write `map.vrt` and `map.gti.gpkg` (or another stem) beside the sheets: either opens as one raster of the whole output,
    also when the folder is moved.

    Every program with GDAL reads the VRT, which has the colours, class names, statistics and band names. The tile index (GDAL
    3.9 and later) is for very many sheets: it is queried by location and never read whole. `grid` is that of the output.
    """
    import geopandas
    import pyogrio

    mosaic, path = folder / f"{stem}.vrt", folder / f"{stem}.gti.gpkg"
    with writing(mosaic):
        text = Xml.tostring(_vrt(sheets, output, grid, classes, scale), encoding="unicode")
        mosaic.write_text(text + "\n", encoding="utf-8")
        sync(mosaic)
    outlines = [_box(grid[sheet.window.within(output)]) for sheet in sheets]
    table = geopandas.GeoDataFrame(
        {"location": [sheet.name for sheet in sheets]}, geometry=outlines, crs=grid.crs.to_wkt() if grid.crs else None
    )
    previous = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_TIME})
    try:
        with writing(path):
            pyogrio.write_dataframe(
                table, path, layer="sheets", driver="GPKG", layer_metadata=_gti_metadata(sheets, grid)
            )
            sync(path)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": previous})


def _gti_metadata(sheets: Sequence[Sheet], grid: GeoBox) -> dict[str, str]:
    """Resolution and extent, so that GDAL opens no sheet to know them; https://gdal.org/en/stable/drivers/raster/gti.html."""
    facts = sheets[0].facts
    box = grid.boundingbox
    return {
        "RESX": repr(abs(grid.affine.a)), "RESY": repr(abs(grid.affine.e)), "MINX": repr(box.left), "MINY": repr(box.bottom),
        "MAXX": repr(box.right), "MAXY": repr(box.top),
    } if grid.affine.b == 0 == grid.affine.d and facts else {}  # fmt: skip


def _box(grid: GeoBox) -> shapely.Polygon:
    height, width = grid.shape
    return shapely.Polygon([grid.affine @ corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])


def _vrt(sheets: Sequence[Sheet], output: Window, grid: GeoBox, classes: Legend, scale: float) -> Xml.Element:
    facts = merge_facts(sheets, output, grid)
    root = Xml.Element("VRTDataset", rasterXSize=str(output.width), rasterYSize=str(output.height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs.to_wkt())
    to = grid.affine
    _add(root, "GeoTransform", ", ".join(repr(float(n)) for n in (to.c, to.a, to.b, to.f, to.d, to.e)))
    for number, name in enumerate(facts.bands, start=1):
        band = Xml.SubElement(root, "VRTRasterBand", dataType=_TYPES[facts.dtype], band=str(number))
        metadata = Xml.SubElement(band, "Metadata")
        for key, value in facts.statistics[number - 1].items():
            Xml.SubElement(metadata, "MDI", key=f"STATISTICS_{key.upper()}").text = f"{value:.14g}"
        if classes:
            names = {str(each.value): each.name for each in classes}
            Xml.SubElement(metadata, "MDI", key="CLASSES").text = json.dumps(names, ensure_ascii=False)
        _add(band, "Description", name)
        _add(band, "NoDataValue", "nan" if math.isnan(facts.nodata) else f"{facts.nodata:.17g}")
        if scale != 1:
            _add(band, "Offset", "0")
            _add(band, "Scale", repr(scale))
        _add(band, "ColorInterp", "Palette" if classes else ("Gray" if number == 1 else "Undefined"))
        if classes:
            _add_classes(band, classes, facts.nodata)
        for sheet in sheets:
            _add_source(band, number, sheet, output)
    resampling = {"resampling": "MODE" if classes else "AVERAGE"}
    if facts.overviews:
        Xml.SubElement(root, "OverviewList", resampling).text = " ".join(str(factor) for factor in facts.overviews)
    Xml.indent(root)
    return root


def _add(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = text


def _add_classes(band: Xml.Element, classes: Legend, nodata: float) -> None:
    names = {each.value: each.name for each in classes}
    categories = Xml.SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        _add(categories, "Category", names.get(value, ""))
    table = Xml.SubElement(band, "ColorTable")
    for _, color in sorted(color_table(classes, nodata).items()):
        Xml.SubElement(table, "Entry", {f"c{n}": str(part) for n, part in enumerate(color, start=1)})


def _add_source(band: Xml.Element, number: int, sheet: Sheet, output: Window) -> None:
    height, width = (str(length) for length in sheet.window.shape)
    source = Xml.SubElement(band, "SimpleSource")
    Xml.SubElement(source, "SourceFilename", relativeToVRT="1").text = sheet.name
    _add(source, "SourceBand", str(number))
    kind = _TYPES[sheet.facts.dtype]
    Xml.SubElement(source, "SourceProperties", RasterXSize=width, RasterYSize=height, DataType=kind)
    Xml.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    top, left = sheet.window.row - output.row, sheet.window.col - output.col
    Xml.SubElement(source, "DstRect", xOff=str(left), yOff=str(top), xSize=width, ySize=height)


def write_collection(
    folder: Path,
    identity: str,
    sheets: Sequence[Sheet],
    image: GeoBox,
    files: Mapping[str, PublishedFile],
    scenes: Sequence[Scene],
    *,
    classes: Legend = (),
    software: Mapping[str, str],
    lineage: str,
    model: str = "",
    scale: float = 1.0,
) -> None:
    """Write `collection.json` and an item for each sheet, `NAME.json` beside `NAME.tif`, with relative links.

    `files` are all files in the folder, by name; those that belong to no sheet become assets of the collection. `image` is the grid
    of the windows of sheets without a grid of their own.
    """
    items = []
    unassigned = set(files) - {model}
    for sheet in sheets:
        names = (sheet.name, sheet.name.replace(MAP, PROBABILITIES, 1))
        sheet_files = [files[name] for name in names if name in files]
        unassigned -= set(names)
        grid = image[sheet.window.roi] if sheet.grid is None else sheet.grid
        item = make_item(
            f"{identity}-{Path(sheet.name).stem}", grid, sheet.facts, sheet_files, scenes,
            classes=classes, software=software, lineage=lineage, model=model, probabilities=sheet.probabilities, scale=scale,
        )  # fmt: skip
        item.collection_id = identity
        item.add_link(pystac.Link("collection", f"./{COLLECTION}", pystac.MediaType.JSON))
        items.append(item)
        _write(folder / f"{Path(sheet.name).stem}.json", item.to_dict(include_self_link=False))
    collection = _collection(identity, sheets, items, scenes, lineage)
    for name in sorted(unassigned):
        key, asset = make_asset(files[name])
        collection.add_asset(key, asset)
    if model:
        collection.add_link(
            pystac.Link("derived_from", f"./{model}", pystac.MediaType.GEOJSON, "The model that made this map")
        )
    _write(folder / COLLECTION, collection.to_dict(include_self_link=False))


def _collection(
    identity: str, sheets: Sequence[Sheet], items: Sequence[pystac.Item], scenes: Sequence[Scene], lineage: str
) -> pystac.Collection:
    box = union_of_boxes([item.bbox for item in items if item.bbox is not None]) or [-180.0, -90.0, 180.0, 90.0]
    times = scene_times(scenes)
    interval: list[datetime.datetime | None] = [times[0], times[-1]] if times else [None, None]
    extent = pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([interval]))
    collection = pystac.Collection(
        identity, f"{lineage}; {len(sheets)} sheets", extent, title=identity, license="other"
    )
    for sheet, item in zip(sheets, items, strict=True):
        href = f"./{Path(sheet.name).stem}.json"
        collection.add_link(pystac.Link("item", href, pystac.MediaType.GEOJSON, item.id))
    return collection


def union_of_boxes(boxes: Sequence[Sequence[float]]) -> list[float] | None:
    """The smallest [west, south, east, north] around boxes of degrees; west > east where it crosses the antimeridian."""
    if not boxes:
        return None
    wests, souths, easts, norths = zip(*boxes, strict=True)
    west, east = min(wests), max(easts)
    turned = [each + 360 if each < 0 else each for each in wests], [each + 360 if each < 0 else each for each in easts]
    crossing = any(one > other for one, other in zip(wests, easts, strict=True))
    if crossing or max(turned[1]) - min(turned[0]) < east - west:
        west, east = min(turned[0]), max(turned[1]) - 360
    return [west, min(souths), east, max(norths)]


def _write(path: Path, document: dict[str, Any]) -> None:
    with writing(path):
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
