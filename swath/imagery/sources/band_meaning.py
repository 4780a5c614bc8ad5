"""What names say of a band: the number of a product's band (B08), the part of the spectrum (nir), and whether two names contradict."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BAND_CODE = re.compile(r"(?:^|[_.\-])B(0?[1-9]|1[0-2]|8A)(?=$|[_.\-])", re.IGNORECASE)
"""The band in names of Sentinel-2, Landsat, HLS and MODIS, such as T32TNT_20240601T100031_B04_10m."""
_PARTS = {
    name: re.compile(pattern)
    for name, pattern in {
        "coastal": r"coastal\w*",
        "blue": r"blue",
        "green": r"green(05)?",
        "red": r"red",
        "rededge": r"red_?edge\w*",
        "nir": r"nir(0[89])?|near_?infrared",
        "swir1": r"swir_?1[26]?",
        "swir2": r"swir_?22?",
        "pan": r"pan|panchromatic",
        "cirrus": r"cirrus",
        "thermal": r"lwir(1[12])?|thermal|tir[12s]?",
    }.items()
}
"""Parts of the spectrum, by common names of STAC and their older forms."""
_CODES = {
    "B1": {"coastal", "blue", "green", "red"},
    "B2": {"blue", "green", "red", "nir"},
    "B3": {"green", "red", "blue", "nir"},
    "B4": {"red", "nir", "green", "swir1"},
    "B5": {"rededge", "nir", "swir1", "swir2", "blue"},
    "B6": {"rededge", "swir1", "swir2", "thermal", "green"},
    "B7": {"rededge", "swir2", "red"},
    "B8": {"nir", "pan", "swir2"},
    "B8A": {"nir", "rededge"},
    "B9": {"nir", "cirrus", "swir2"},
    "B10": {"cirrus", "thermal"},
    "B11": {"swir1", "thermal"},
    "B12": {"swir2", "thermal"},
}
"""Parts of the spectrum that a number stands for in Sentinel-2, Landsat 4 to 9, HLS, MODIS, ASTER or CBERS."""


def band_code(name: str) -> str | None:
    """`B4` for names such as T32TNT_20240601T100031_B04_10m, LC08_L2SP_008067_20240601_SR_B4 and B04; None for others, and where there
    are several."""
    found = _BAND_CODE.findall(name)
    return f"B{found[0].lstrip('0').upper()}" if len(found) == 1 else None


def contradicts(name: str, other: str) -> bool:
    """Whether two names are of different bands whatever the sensor: nir and red, B08 and red. A name without a known meaning
    contradicts none."""
    code, other_code = band_code(name), band_code(other)
    if code is not None and other_code is not None:
        return code != other_code
    meanings, others = _meanings(name), _meanings(other)
    return bool(meanings) and bool(others) and meanings.isdisjoint(others)


def contradiction_notes(where: str, own: str, names: Iterable[str]) -> list[str]:
    """A note when one of the names that `where` has for a band contradicts the band `own` that it is read for."""
    found = [name for name in names if contradicts(own, name)]
    return [f"{where} is {found[0]!r}, and is read for the band {own!r}: look whether that is meant"] if found else []


def _meanings(name: str) -> set[str]:
    code = band_code(name)
    if code is not None:
        return _CODES[code]
    return {part for part, pattern in _PARTS.items() if pattern.fullmatch(name.strip().lower())}
