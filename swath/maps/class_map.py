"""Opens an existing map of classes: a folder that predict published, or a raster whose classes are named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.errors import ImageryError
from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.imagery.scene import Scene, Scenes
from swath.imagery.sources.find import find
from swath.maps.legend import Legend, MapClass, legend_from_classes, parse_rgb
from swath.spec.fields.class_colors import default_colors
from swath.spec.fields.imagery import FilesImagery
from swath.spec.locations import special_file
from swath.storage.address import redacted
from swath.storage.objects import read_object
from swath.storage.publication import MANIFESTS, published_name

if TYPE_CHECKING:
    from swath.spec.fields.labels import LabelClass

_RASTERS = (".tif", ".tiff", ".img", ".jp2", ".png")
"""Suffixes of rasters, see docs/reading.md; any other path is a folder."""


@dataclass(frozen=True)
class ClassMap:
    """Where a map is, and what its values mean; without its pixels."""

    scenes: Scenes
    """The map's files as scenes of one band, to read its values."""
    classes: Legend
    """Classes by their values in the file."""
    scene: Scene
    """Name and time of the map, as a scene without bands."""


def open_class_map(path: str, classes: tuple[LabelClass, ...] = ()) -> ClassMap:
    """Read the metadata of a map. `classes` name the values of a raster that does not name them: the n-th has the value n.

    Names and colours come from the map's STAC item (classification extension), from the file (the metadata CLASSES of swath's maps,
    and its colour table), or else from `classes`. Raises ImageryError when none of them names the classes, or when the folder has
    no map.
    """
    item: dict[str, Any] = {}
    files = [path]
    if not path.lower().endswith(_RASTERS):
        try:
            item, files = _published(path)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ImageryError(
                f"{redacted(path)}: its STAC documents are none of a published map: {type(error).__name__}: {error}",
                remedy="Name a folder that predict wrote, or a raster of classes.",
            ) from error
    scenes = find(FilesImagery(paths=tuple(files), bands=(1,)), ("map",))
    with gdal_errors(files[0], "opening the map"), open_raster(files[0]) as file:
        named = _from_item(item) or _from_file(file) or legend_from_classes(classes)
    if not named:
        raise ImageryError(
            f"{redacted(path)}: does not say what its values mean",
            remedy="Name them in `classes`: the n-th name, from 0 on, is that of the value n.",
        )
    colors = {each.name: each.color for each in classes if each.color is not None}
    legend = tuple(MapClass(c.value, c.name, parse_rgb(colors[c.name]) if c.name in colors else c.color) for c in named)
    properties = item.get("properties", {})
    moment = None if "description" in properties else properties.get("datetime") or properties.get("end_datetime")
    name = str(item.get("id") or Path(path.rstrip("/")).stem)
    return ClassMap(scenes, legend, Scene(name, (), moment))


def _published(folder: str) -> tuple[dict[str, Any], list[str]]:
    """The STAC item of a published map (of several sheets, that of the first), and its raster files."""
    for manifest in MANIFESTS:
        document = _json(folder, manifest)
        if document is None:
            continue
        names = [published_name(str(link["href"])) for link in document.get("links", ()) if link["rel"] == "item"]
        sheets = [_json(folder, name) for name in names]
        items = [item for item in (document, *sheets) if item is not None and "map" in item.get("assets", {})]
        if items:
            files = [published_name(str(item["assets"]["map"]["href"])) for item in items]
            return items[0] | {"id": document["id"]}, [f"{folder.rstrip('/')}/{name}" for name in files]
    raise ImageryError(
        f"{redacted(folder)}: no map is published there",
        remedy="Name a folder that predict wrote, or a raster of classes.",
    )


def _json(folder: str, name: str) -> dict[str, Any] | None:
    try:
        if "://" in folder:
            document: dict[str, Any] = read_object(f"{folder.rstrip('/')}/{name}", json.loads)
        else:
            file = Path(folder) / name
            if what := special_file(str(file)):  # reading it would block, or never end
                raise OSError(f"it is {what}, not a file")
            document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ImageryError(f"{redacted(folder)}/{name} cannot be read: {error}", remedy="Check the folder.") from error
    return document


def _from_item(item: dict[str, Any]) -> Legend:
    document = item.get("assets", {}).get("map", {}).get("classification:classes", ())
    colors = default_colors([each.get("color_hint") for each in document])
    return tuple(
        MapClass(int(each["value"]), str(each["name"]), parse_rgb(color))
        for each, color in zip(document, colors, strict=True)
    )


def _from_file(file: Any) -> Legend:
    """The classes in the metadata of swath's files; none in other files."""
    try:
        names = {int(value): str(name) for value, name in json.loads(file.tags(1).get("CLASSES", "{}")).items()}
    except (ValueError, AttributeError):
        return ()
    if not names:
        return ()
    try:
        table = file.colormap(1)
    except ValueError:  # no colour table
        table = {}
    colors = default_colors(["{:02X}{:02X}{:02X}".format(*table[v][:3]) if v in table else None for v in names])
    return tuple(MapClass(v, name, parse_rgb(color)) for (v, name), color in zip(names.items(), colors, strict=True))
