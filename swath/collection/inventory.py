"""The inventory of a collection: the images in it, read from its STAC items and checked; and the STAC documents of new images."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.errors import ImageryError
from swath.imagery.sources.categorical import CATEGORICAL_FIELD
from swath.imagery.sources.stac_document import UNKNOWN_TIME
from swath.imagery.sources.stac_items import item_span
from swath.maps.sheets import union_of_boxes
from swath.maps.stac_item import FILE, TIME_IS_UNKNOWN, footprint_and_bbox, item_times
from swath.spec.locations import special_file
from swath.storage.objects import read_object
from swath.storage.publication import Published, PublishedFile, is_intact, published_name

if TYPE_CHECKING:
    from swath.imagery.scene import Band, Scenes
    from swath.maps.cog.cog import CogFacts

COLLECTION = "collection.json"
SOURCE, GRID, UNITS, BANDS = "swath:source", "swath:grid", "swath:units", "swath:bands"
"""Fields of their own: of an item the fingerprint of its sources; of the collection what all its items share."""
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    FILE,
)
_OTHER_FORM = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
"""What documents of another form make the code below raise; a RuntimeError for a CRS that is none, or too deep a document."""


@dataclass(frozen=True)
class InventoryImage:
    """One image of a collection, with all files as they were published."""

    id: str
    source: str
    """Fingerprint of its sources and of how they were loaded."""
    files: tuple[PublishedFile, ...]
    """Its rasters and its item."""
    item: str
    """The item, as JSON."""


@dataclass(frozen=True)
class Inventory:
    """The images of a collection, and what they share."""

    bands: tuple[str, ...] = ()
    units: str = ""
    grid: GeoBox | None = None
    """A GeoBox of one pixel: the pixel size and origin that all images share. None where each has its own grid, and without images."""
    images: tuple[InventoryImage, ...] = ()
    notes: tuple[str, ...] = ()

    def image(self, identity: str) -> InventoryImage | None:
        """The image with this id; None when there is none."""
        return next((each for each in self.images if each.id == identity), None)


def read_inventory(folder: str) -> Inventory:
    """Read the collection in a folder or at a URL; an empty inventory when there is none.

    An image with a file that is missing or not as it was published (by SHA-256; at a URL by size) is left out, with a note. Raises
    ImageryError when there is a collection that this pipeline did not write, or it cannot be read.
    """
    text = _read(folder, COLLECTION)
    if text is None:
        return Inventory()
    try:
        document = json.loads(text)
        names = [published_name(str(link["href"])) for link in document["links"] if link["rel"] == "item"]
        bands, units, grid = tuple(map(str, document[BANDS])), str(document[UNITS]), document[GRID]
        box = None if grid is None else GeoBox((1, 1), Affine(*grid["transform"]), grid["crs"])
    except _OTHER_FORM as error:
        raise ImageryError(
            f"{folder}/{COLLECTION} is not a collection of loaded imagery: {error}",
            remedy="Choose another folder with output.to, or remove this one.",
        ) from error
    found = [(name, _read_image(folder, name)) for name in names]
    damaged = [name.removesuffix(".json") for name, image in found if image is None]
    notes = [f"{name} is not as it was published any more, and is left out or loaded again" for name in damaged]
    return Inventory(
        bands,
        units,
        box,
        tuple(image for _, image in found if image is not None),
        tuple(notes),
    )


def _read_image(folder: str, name: str) -> InventoryImage | None:
    text = _read(folder, name)
    if text is None:
        return None
    try:
        item = json.loads(text)
        files = tuple(
            PublishedFile(published_name(str(asset["href"])), int(asset["file:size"]), str(asset["file:checksum"])[4:])
            for asset in item["assets"].values()
        )
        source, identity = str(item["properties"][SOURCE]), str(item["id"])
    except _OTHER_FORM:
        return None
    if not is_intact(Published(folder, files)):
        return None
    data = text.encode()
    own = PublishedFile(name, len(data), hashlib.sha256(data).hexdigest())
    return InventoryImage(identity, source, (*files, own), text)


def _read(folder: str, name: str) -> str | None:
    """The text of a file in the folder; None when it does not exist."""
    try:
        if "://" in folder:
            return read_object(f"{folder}/{name}", functools.partial(str, encoding="utf-8"))
        if what := special_file(f"{folder}/{name}"):  # reading it would block, or never end
            raise OSError(f"it is {what}, not a file")
        return (Path(folder) / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ImageryError(
            f"{folder}/{name} cannot be read: {error}", remedy="Check the folder, or remove it."
        ) from error


def safe_file_name(text: str) -> str:
    """An id or a band's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "image"


def raster_name(identity: str, band: str) -> str:
    """Name of the file of one band."""
    return f"{identity}-{safe_file_name(band)}.tif"


def make_image_item(
    identity: str,
    grid: GeoBox,
    scenes: Scenes,
    source: str,
    rasters: Mapping[str, tuple[PublishedFile, CogFacts, Band]],
    *,
    collection: str,
    software: Mapping[str, str],
    lineage: str,
) -> dict[str, Any]:
    """The STAC item of a loaded image: each band is an asset with the band's name, all links are relative.

    `rasters` gives for each band its file, the facts on the COG, and dtype, nodata, scale and offset of its values.
    """
    geometry, box = footprint_and_bbox(grid)
    moment, start, end = item_times(scenes.scenes)
    properties: dict[str, Any] = {
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.affine)[:6],
        SOURCE: source,
        "processing:software": dict(software),
        "processing:lineage": lineage,
        "derived_from": [scene.id for scene in scenes.scenes],
    }
    if grid.crs is not None:
        code = str(grid.crs)
        properties["proj:code" if code.startswith("EPSG:") else "proj:wkt2"] = code
    if len(scenes.scenes) == 1 and scenes.scenes[0].cloud_cover is not None:
        properties["eo:cloud_cover"] = scenes.scenes[0].cloud_cover
    if (start, end) == UNKNOWN_TIME:
        properties["description"] = TIME_IS_UNKNOWN
    item = pystac.Item(
        id=identity,
        geometry=geometry,
        bbox=box,
        datetime=moment,
        start_datetime=start,
        end_datetime=end,
        properties=properties,
        stac_extensions=list(EXTENSIONS),
    )
    item.collection_id = collection
    item.add_link(pystac.Link("collection", f"./{COLLECTION}", pystac.MediaType.JSON))
    for name, (file, facts, band) in rasters.items():
        extra = {"bands": [_described(band, facts)], "file:size": file.bytes, "file:checksum": "1220" + file.sha256}
        item.add_asset(name, pystac.Asset(f"./{file.name}", name, None, pystac.MediaType.COG, ["data"], extra))
    return item.to_dict(include_self_link=False)


def _described(band: Band, facts: CogFacts) -> dict[str, Any]:
    """The STAC fields of a band. A band without a nodata value has an alpha band in its file."""
    described: dict[str, Any] = {"name": band.name, "data_type": band.dtype, "raster:sampling": "area"}
    if band.nodata is not None:
        nodata: Any = "nan" if band.nodata != band.nodata else band.nodata
        described["nodata"] = int(nodata) if nodata != "nan" and float(nodata).is_integer() else nodata
    if band.scale is not None:
        described |= {"raster:scale": band.scale, "raster:offset": band.offset or 0.0}
    if band.categorical:
        described[CATEGORICAL_FIELD] = True
    return described | {"statistics": facts.statistics[0]}


def make_collection(
    identity: str, items: Sequence[Mapping[str, Any]], inventory: Inventory, description: str
) -> dict[str, Any]:
    """The STAC collection of these items, sorted by id. Bands, units and grid are those of `inventory`."""
    ordered = sorted(items, key=lambda item: str(item["id"]))
    read = [pystac.Item.from_dict(dict(item)) for item in ordered]
    box = union_of_boxes([item.bbox for item in read if item.bbox is not None]) or [-180.0, -90.0, 180.0, 90.0]
    spans = [item_span(each) for each in read]
    first, last = [start for start, _ in spans if start], [end for _, end in spans if end]
    extent = pystac.Extent(
        pystac.SpatialExtent([box]),
        pystac.TemporalExtent([[min(first, default=None), max(last, default=None)]]),
    )
    extra: dict[str, Any] = {BANDS: list(inventory.bands), UNITS: inventory.units, GRID: None}
    if inventory.grid is not None:
        extra[GRID] = {
            "crs": inventory.grid.crs and str(inventory.grid.crs),
            "transform": list(inventory.grid.affine)[:6],
        }
    collection = pystac.Collection(
        identity, description, extent, title=identity, license="other", extra_fields=extra,
        summaries=pystac.Summaries({"bands": [{"name": name} for name in inventory.bands]}),
    )  # fmt: skip
    for item in read:
        collection.add_link(pystac.Link("item", f"./{item.id}.json", pystac.MediaType.GEOJSON, item.id))
    return collection.to_dict(include_self_link=False)
