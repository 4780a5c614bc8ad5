"""A map of classes that was made before: a folder that predict published, or any raster whose classes are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

from swath.errors import ImageryError
from swath.imagery.address import shown
from swath.imagery.files import read_band
from swath.imagery.legend import Legend, MapClass, legend_of, rgb
from swath.imagery.publication import MANIFESTS
from swath.imagery.raster import gdal_errors, open_raster, stamp
from swath.imagery.scene import Scene
from swath.imagery.stores import placed
from swath.spec.labels import PALETTE

if TYPE_CHECKING:
    from swath.spec.labels import LabelClass

_RASTERS = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".png", ".nc")


@dataclass(frozen=True)
class ClassMap:
    """Where a map is, and what its values mean. Holds no pixels."""

    path: str
    """Of what opens as one raster."""
    grid: GeoBox
    classes: Legend
    """By the values in the file."""
    scene: Scene
    """Its name and time, as a scene without bands."""


def open_class_map(path: str, classes: tuple[LabelClass, ...] = ()) -> ClassMap:
    """Look into a map once. `classes` are those of a raster that does not name its own: value n is the n-th.

    Names and colours come from the map's STAC item (classification extension), from the file (the metadata CLASSES that swath's
    maps have, its colour table), or else from `classes`. Raises ImageryError when they come from nowhere, or when the folder
    holds no map, or one on several grids.
    """
    item: dict[str, Any] = {}
    file_path = path
    if not path.lower().endswith(_RASTERS):
        item, file_path = _published(path)
    with gdal_errors(file_path, "opening the map"), open_raster(file_path) as file:
        band = read_band(file, file_path, 1, "map", stamp(file_path), numbers=False)
        named = _from_item(item) or _from_file(file) or legend_of(classes)
    if not named:
        raise ImageryError(
            f"{shown(path)}: does not say what its values mean",
            remedy="Name them in `classes`: the n-th name, from 0 on, is that of the value n.",
        )
    own = {each.name: each.color for each in classes if each.color is not None}
    legend = tuple(MapClass(c.value, c.name, rgb(own[c.name]) if c.name in own else c.color) for c in named)
    properties = item.get("properties", {})
    moment = None if "description" in properties else properties.get("datetime") or properties.get("end_datetime")
    name = str(item.get("id") or Path(path.rstrip("/")).stem)
    return ClassMap(file_path, band.geobox, legend, Scene(name, (), moment))


def _published(folder: str) -> tuple[dict[str, Any], str]:
    """The item of a published map, and what opens it."""
    for manifest in MANIFESTS:
        told = _json(folder, manifest)
        if told is None:
            continue
        assets = told.get("assets", {})
        if manifest == MANIFESTS[0] and "map" in assets:
            return told, _beside(folder, assets["map"])
        indexes = [asset for asset in assets.values() if str(asset["href"]).endswith(".vrt")]
        indexes = [asset for asset in indexes if str(asset["href"]).startswith("./map")]
        if len(indexes) > 1:
            raise ImageryError(
                f"{shown(folder)}: the map is on {len(indexes)} grids",
                remedy="Name one of its files, or one of its .vrt files.",
            )
        items = [str(link["href"]) for link in told.get("links", ()) if link["rel"] == "item"]
        first = _json(folder, items[0].removeprefix("./")) if items else None
        if indexes and first is not None:
            return first | {"id": told["id"]}, _beside(folder, indexes[0])
    raise ImageryError(
        f"{shown(folder)}: no map is published there",
        remedy="Name a folder that predict wrote, or a raster of classes.",
    )


def _beside(folder: str, asset: dict[str, Any]) -> str:
    return f"{folder.rstrip('/')}/{str(asset['href']).removeprefix('./')}"


def _json(folder: str, name: str) -> dict[str, Any] | None:
    try:
        if "://" in folder:
            filesystem, place = placed(folder)
            text = bytes(filesystem.cat_file(f"{place}/{name}")).decode("utf-8")
        else:
            text = (Path(folder) / name).read_text(encoding="utf-8")
        told: dict[str, Any] = json.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ImageryError(f"{shown(folder)}/{name} cannot be read: {error}", remedy="Check the folder.") from error
    return told


def _from_item(item: dict[str, Any]) -> Legend:
    told = item.get("assets", {}).get("map", {}).get("classification:classes", ())
    return tuple(
        MapClass(int(each["value"]), str(each["name"]), rgb(each.get("color_hint") or PALETTE[n % len(PALETTE)]))
        for n, each in enumerate(told)
    )


def _from_file(file: Any) -> Legend:
    """The classes that swath writes into its files."""
    try:
        names = {int(value): str(name) for value, name in json.loads(file.tags(1).get("CLASSES", "{}")).items()}
    except (ValueError, AttributeError):
        return ()
    if not names:
        return ()
    try:
        table = file.colormap(1)
    except ValueError:  # none
        table = {}
    palette = {value: rgb(PALETTE[n % len(PALETTE)]) for n, value in enumerate(names)}
    return tuple(MapClass(v, name, tuple(table[v][:3]) if v in table else palette[v]) for v, name in names.items())
