"""Scale, offset and nodata of bands of STAC items: as stated, or as known of Sentinel-2 and Landsat products; never applied twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pystac

BOA_OFFSET = 1000
"""Added to the pixels by Sentinel-2's processing since baseline 04.00, so that none is below 1.
https://sentinels.copernicus.eu/web/sentinel/-/copernicus-sentinel-2-major-products-upgrade-upcoming"""
BOA_OFFSET_SINCE = datetime(2022, 1, 25, tzinfo=UTC)
"""Products of earlier days have no such offset, unless they were processed again; these state their baseline."""

_S2_BAND = re.compile(r"B(0?[1-9]|1[0-2]|8A)", re.IGNORECASE)
_S2_COMMON = {"coastal", "blue", "green", "red", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22"}
_S2_BASELINE = re.compile(r"_N(\d\d)(\d\d)_")
_BASELINE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_LANDSAT = re.compile(r"(?:^|_)(SR|ST)_B\d+(?:\.TIFF?)?$", re.IGNORECASE)
_LANDSAT_SCALES = {"SR": (2.75e-05, -0.2), "ST": (0.00341802, 149.0)}
"""(scale, offset) of surface reflectance, and of surface temperature in kelvin, in Collection 2 Level 2."""


@dataclass(frozen=True)
class Radiometry:
    """Physical value = value in the file * scale + offset; None when it is not known."""

    scale: float | None
    offset: float | None
    nodata: float | None
    notes: tuple[str, ...] = ()


def radiometry(item: pystac.Item, key: str, band: dict[str, Any], facts: dict[str, Any]) -> Radiometry:
    """Scale, offset and nodata of a band of asset `key`.

    `band` has the item's names of the band, `facts` the scale, offset and nodata of item or file. Stated values are used, except
    for an offset that the catalogue also declares to be applied to the pixels already. Missing ones follow from the product:
    Sentinel-2 by its processing baseline, Landsat Collection 2 Level 2.
    """
    scale, offset, nodata = facts.get("scale"), facts.get("offset"), facts.get("nodata")
    if _is_sentinel2(item) and _is_s2_reflectance(item.assets[key], key, band):
        return _sentinel2(item, scale, offset, nodata)
    family = _landsat_family(item, key)
    if family is not None:
        if scale is None and offset is None:
            scale, offset = _LANDSAT_SCALES[family]
        return Radiometry(scale, offset, 0.0 if nodata is None else nodata)
    return Radiometry(scale, offset, nodata)


def _sentinel2(item: pystac.Item, scale: float | None, offset: float | None, nodata: float | None) -> Radiometry:
    applied = next(
        (
            item.properties[n]
            for n in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
            if n in item.properties
        ),
        None,
    )
    nodata = 0.0 if nodata is None else nodata
    if applied is True:
        note = "the catalogue says that the BOA offset is already applied to the pixels; it is not applied again"
        return Radiometry(0.0001 if scale is None else scale, 0.0, nodata, (note,) if offset else ())
    if offset is not None:
        return Radiometry(0.0001 if scale is None else scale, offset, nodata)
    baseline = processing_baseline(item)
    if baseline is None and (item.datetime is None or _utc(item.datetime) >= BOA_OFFSET_SINCE):
        unknown = f"{item.id}: neither an offset nor the processing baseline is stated, so the scale of its values is not known"
        return Radiometry(None, None, nodata, (unknown,))
    scale = 0.0001 if scale is None else scale
    if baseline is None or baseline < (4, 0):
        return Radiometry(scale, 0.0, nodata)
    version = f"{baseline[0]:02}.{baseline[1]:02}"
    note = f"Sentinel-2 of processing baseline {version}: {BOA_OFFSET} is subtracted from the values for reflectance"
    return Radiometry(scale, -BOA_OFFSET * scale, nodata, (note,))


def processing_baseline(item: pystac.Item) -> tuple[int, int] | None:
    """Sentinel-2's processing baseline as (4, 0), from the item's properties or the product's name."""
    for name in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if found := _BASELINE.fullmatch(str(item.properties.get(name) or "")):
            return int(found[1]), int(found[2])
    for name in (item.id, *(str(item.properties.get(n) or "") for n in ("s2:product_uri", "sentinel:product_id"))):
        if found := _S2_BASELINE.search(name):
            return int(found[1]), int(found[2])
    return None


def _is_sentinel2(item: pystac.Item) -> bool:
    platform = f"{item.properties.get('constellation') or ''} {item.properties.get('platform') or ''}".lower().replace(
        " ", "-"
    )
    return "sentinel-2" in platform or "s2:processing_baseline" in item.properties


def _is_s2_reflectance(asset: pystac.Asset, key: str, band: dict[str, Any]) -> bool:
    if {"visual", "overview", "thumbnail"}.intersection((*(asset.roles or ()), key)):
        return False
    names = (str(band.get("name") or key), key.removesuffix("-jp2").partition("_")[0])
    common = str(band.get("common_name") or key)
    return any(_S2_BAND.fullmatch(name) for name in names) or common in _S2_COMMON or common.startswith("rededge")


def _landsat_family(item: pystac.Item, key: str) -> str | None:
    """SR or ST for a band of Landsat Collection 2 Level 2."""
    of_second = str(item.properties.get("landsat:collection_number") or "") == "02" or "_02_T" in item.id
    if not of_second or not item.id.startswith("L"):
        return None
    path = item.assets[key].href.partition("?")[0]
    found = _LANDSAT.search(key) or _LANDSAT.search(path.rpartition("/")[2])
    return found[1].upper() if found else None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def with_overrides(
    spec_scale: float | None, spec_offset: float | None, scale: float | None, offset: float | None
) -> tuple[float | None, float | None]:
    """(scale, offset) with those of the spec in place of the file's; (None, None) when neither is known."""
    scale = spec_scale if spec_scale is not None else scale
    offset = spec_offset if spec_offset is not None else offset
    if scale is None and offset is None:
        return None, None
    return (1.0 if scale is None else scale), (0.0 if offset is None else offset)
