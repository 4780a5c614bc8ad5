"""Sentinel-2 SAFE folders as imagery: the patterns of the files in them, and the names that common names of bands have there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from swath.spec.fields.paths import BAND

_FILES = (
    *(
        f"GRANULE/*/IMG_DATA/R{size}m/*_{BAND}_{size}m.jp2" for size in (10, 20, 60)
    ),  # level 2A; the smallest pixels count
    f"GRANULE/*/IMG_DATA/*_{BAND}.jp2",  # level 1C
)
_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge071": "B05", "rededge075": "B06", "rededge078": "B07",
    "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""By the common names of STAC's eo extension. `rededge` alone is three bands, and none of them."""


def has_products(patterns: Sequence[str]) -> bool:
    """Whether the patterns name SAFE folders."""
    return any(_is_product(pattern) for pattern in patterns)


def files_of_products(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, with those of the files of one band each in place of a SAFE folder."""
    found: list[str] = []
    for pattern in patterns:
        inside = pattern.rstrip("/")
        found += [f"{inside}/{each}" for each in _FILES] if _is_product(pattern) else [pattern]
    return tuple(found)


def name_in_products(band: str | int) -> str | int:
    """The name of a band in SAFE folders: that of a common name, else its own."""
    return _NAMES.get(band.lower(), band) if isinstance(band, str) else band


def named_products(pattern: str) -> tuple[str, ...]:
    """The SAFE folders that a pattern names in full: two of them are two scenes, also where all in them has the same names."""
    folders = (part for part in pattern.split("/") if _is_product(part) and not re.search(r"[*?\[]", part))
    return tuple(PurePosixPath(part).stem for part in folders)


def is_picture(path: str) -> bool:
    """Whether a file of a SAFE folder is its picture in colours, and no band."""
    return re.search(r"_TCI(_[126]0m)?\.jp2$", path, re.IGNORECASE) is not None


def _is_product(pattern: str) -> bool:
    return pattern.rstrip("/").upper().endswith(".SAFE")
