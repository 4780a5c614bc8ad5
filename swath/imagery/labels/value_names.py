"""Values of labels by name: the names that a raster gives its values, values of attributes as texts, and their classes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.storage.address import is_remote, local_path

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_MAX_BYTES = 2**20
"""Of a side-car file; a list of 256 names has some kilobytes."""
_BAND = re.compile(r'<PAMRasterBand band="(\d+)">(.*?)</PAMRasterBand>', re.DOTALL)
_CATEGORY = re.compile(r"<Category\s*/>|<Category>(.*?)</Category>", re.DOTALL)
_SHOWN = 6


def value_names(file: DatasetReader, href: str, band: int) -> dict[int, str]:
    """Value -> name: of the metadata CLASSES of swath's maps, else of GDAL's category names in the file's .aux.xml. Empty where the
    file names no values."""
    try:
        return {int(value): str(name) for value, name in json.loads(file.tags(band).get("CLASSES", "")).items()}
    except (ValueError, AttributeError):
        return {} if is_remote(href) else _category_names(Path(f"{local_path(href)}.aux.xml"), band)


def _category_names(path: Path, band: int) -> dict[int, str]:
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    part = next((found[2] for found in _BAND.finditer(text) if int(found[1]) == band), "")
    names = [html.unescape(found[1] or "").strip() for found in _CATEGORY.finditer(part)]
    return {value: name for value, name in enumerate(names) if name}


def value_text(value: Any) -> str:
    """A value of an attribute as specs name it: `null` where there is none, and 1 for the 1.0 that readers make of whole numbers
    when one feature of the file has none."""
    if value is None or value != value:
        return "null"
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)


def class_of_text(text: str, classes: Mapping[str, str]) -> str:
    """The class that labels.classes gives a value of an attribute; else the value itself."""
    return classes.get(text, classes.get(f"{text}.0", text))


def classes_of_values(names: dict[int, str], classes: Sequence[str], where: str) -> tuple[dict[int, str], list[str]]:
    """Value -> class for a raster whose spec lists no values, and what to note. Names of the file that are classes decide, in
    whatever case; without any, value n is the n-th class."""
    by_place = dict(enumerate(classes))
    known = {name.casefold(): name for name in classes}
    by_name = {value: known[name.casefold()] for value, name in names.items() if name.casefold() in known}
    if by_name:
        same = all(by_place.get(value) == name for value, name in by_name.items())
        listed = ", ".join(f"{value} is {name}" for value, name in list(by_name.items())[:_SHOWN])
        return by_name, [] if same else [f"{where}: by the names in the file {listed}; labels.classes says otherwise"]
    if not names:
        return by_place, []
    listed = ", ".join(f"{value} {name}" for value, name in list(names.items())[:_SHOWN])
    return by_place, [
        f"{where}: the file names its values ({listed}), and none of these is a class: value n is taken for the n-th class, from 0. "
        "labels.classes says otherwise"
    ]
