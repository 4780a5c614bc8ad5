"""The asset and the band of a STAC item that a name stands for; a name of several different bands is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from swath.errors import ImageryError

if TYPE_CHECKING:
    import pystac

_PREVIEW_ROLES = {"thumbnail", "overview", "visual"}
_PREVIEW_KEYS = ("visual", "tci", "overview", "thumbnail", "preview", "rendered_preview", "browse", "true_color")
"""Keys, without a resolution or format at their end, of assets that are pictures, whatever their roles."""
_NO_PIXELS = {"thumbnail", "overview", "metadata"}
_RASTER = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-hdf", "application/x-netcdf")
_RESOLUTION = re.compile(r"[-_](jp2|cog|tiff?|\d+m)$")
_SAME_WAVELENGTH = 0.02
"""Bands whose centres differ by less than this part of their wavelength are one band at several resolutions."""


@dataclass(frozen=True)
class BandPlace:
    """Where a band is: the key of an asset, and the band's number in its file."""

    key: str
    index: int
    whole: bool = False
    """Found by the asset's key alone: right only where its file has one band."""


def find_band(item: pystac.Item, name: str, names_in_file: Callable[[str], list[str]]) -> BandPlace:
    """The place of the band `name`: an asset's key, a common name, a band's name, or `asset:band` with a band's number or name.

    `names_in_file` gives, for an asset's key, the names of the bands in its file; it is called where the item does not describe them.
    Raises ImageryError when there is no such band, or when the name stands for several different ones.
    """
    lowered = name.lower()
    keys = [name, *(k for k in item.assets if k.lower() == lowered)]
    own = next((key for key in keys if key in item.assets), None)
    if own is not None and count_bands(item, item.assets[own]) <= 1:
        return BandPlace(own, 1, whole=True)
    key, colon, part = name.rpartition(":")
    if colon and key in item.assets:
        return _part(item, key, part, names_in_file)
    for what in ("common_name", "name"):
        found = [
            (BandPlace(key, index), band)
            for key, asset in item.assets.items()
            for index, band in enumerate(described_bands(item, asset), 1)
            if str(band.get(what) or "").lower() == lowered
        ]
        if found:
            # The same band often exists at several resolutions, and in previews.
            data = [each for each in found if not _preference(item, each[0].key)[0]] or found
            if what == "common_name":
                _check_one_band(item, name, data)
            _check_one_asset(item, name, data)
            return min((place for place, _ in data), key=lambda place: _preference(item, place.key))
    if own is not None:
        names = [_label(band, index) for index, band in enumerate(described_bands(item, item.assets[own]), 1)]
        names = names or [str(number) for number in range(1, count_bands(item, item.assets[own]) + 1)]
        raise ImageryError(
            f"item {item.id}: asset {own} has {len(names)} bands",
            remedy=f"Say in imagery.bands which one to take: {', '.join(f'{own}:{each}' for each in names)}.",
        )
    data_keys = _data_keys(item)
    if len(data_keys) == 1 and not described_bands(item, item.assets[data_keys[0]]):
        try:
            in_file = [each.lower() for each in names_in_file(data_keys[0])]
        except ImageryError:  # no such file, or no raster: the item has no such band in any case
            in_file = []
        if lowered in in_file:
            return BandPlace(data_keys[0], in_file.index(lowered) + 1)
    raise _no_band(item, name)


def described_bands(item: pystac.Item, asset: pystac.Asset) -> list[dict[str, Any]]:
    """An asset's bands, with `name` and `common_name` when stated: STAC 1.1 `bands`, or 1.0 `eo:bands`. Those of the item's properties
    where it has one asset with pixels only, as some catalogues write it."""
    fields = asset.extra_fields
    if not fields.get("bands") and not fields.get("eo:bands"):
        keys = _data_keys(item)
        if len(keys) == 1 and item.assets[keys[0]] is asset:
            fields = item.properties
    if fields.get("bands"):
        return [band | {"common_name": band.get("eo:common_name", band.get("common_name"))} for band in fields["bands"]]
    return list(fields.get("eo:bands") or ())


def count_bands(item: pystac.Item, asset: pystac.Asset) -> int:
    """How many bands the item says that an asset has; 0 when it does not say."""
    return max(len(described_bands(item, asset)), len(asset.extra_fields.get("raster:bands") or ()))


def raster_fields(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """What `raster:bands` of STAC 1.0 says of a band."""
    bands = asset.extra_fields.get("raster:bands") or []
    return dict(bands[index - 1]) if index <= len(bands) else {}


def stated_facts(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """data_type, nodata, scale and offset of a band, as far as stated: fields of the raster extension 1.x, or of STAC 1.1."""
    fields = asset.extra_fields
    described = fields.get("bands") or []
    layers = [
        fields,
        raster_fields(asset, index),
        described[index - 1] if index <= len(described) else {},
    ]
    facts: dict[str, Any] = {}
    for layer in layers:
        for name in ("data_type", "nodata", "scale", "offset"):
            value = layer.get(name, layer.get(f"raster:{name}"))
            if value is not None:
                facts[name] = value
    return facts


def _part(item: pystac.Item, key: str, part: str, names_in_file: Callable[[str], list[str]]) -> BandPlace:
    if part.isdecimal() and int(part) > 0:
        return BandPlace(key, int(part))
    described = described_bands(item, item.assets[key])
    for what in ("name", "common_name"):
        for index, band in enumerate(described, 1):
            if str(band.get(what) or "").lower() == part.lower():
                return BandPlace(key, index)
    names = [_label(band, index) for index, band in enumerate(described, 1)] or names_in_file(key)
    lowered = [each.lower() for each in names]
    if part.lower() in lowered:
        return BandPlace(key, lowered.index(part.lower()) + 1)
    raise ImageryError(
        f"item {item.id}: asset {key} has no band {part!r}",
        remedy=f"It has: {', '.join(f'{key}:{each or number}' for number, each in enumerate(names, 1))}.",
    )


def _check_one_band(item: pystac.Item, name: str, found: list[tuple[BandPlace, dict[str, Any]]]) -> None:
    """Raises ImageryError where a common name stands for several bands of the sensor, as `rededge` for three of Sentinel-2."""
    bands: dict[str, tuple[str, float | None]] = {}
    for place, band in found:
        key = _RESOLUTION.sub("", str(band.get("name") or place.key).lower())
        key = re.sub(r"(?<=[a-z])0+(?=\d)", "", key)
        bands.setdefault(key, (_choice(item, place, band), _wavelength(band)))
    centres = [centre for _, centre in bands.values()]
    known = [centre for centre in centres if centre is not None]
    if len(bands) == 1 or (len(known) == len(centres) and max(known) - min(known) <= _SAME_WAVELENGTH * max(known)):
        return
    listed = [label if centre is None else f"{label} ({centre * 1000:.0f} nm)" for label, centre in bands.values()]
    raise ImageryError(
        f"item {item.id}: {name!r} is the common name of {len(bands)} bands: {', '.join(listed)}",
        remedy=f"Say in imagery.bands which one to take in its place, such as {next(iter(bands.values()))[0]}: one name for each band "
        "of the model, in the model's order.",
    )


def _check_one_asset(item: pystac.Item, name: str, found: list[tuple[BandPlace, dict[str, Any]]]) -> None:
    """Raises ImageryError where assets of one pixel size have a band of this name and are no copies of each other by their keys, such
    as top of atmosphere and surface reflectance."""
    finest, own_name = min((_preference(item, place.key), str(band.get("name") or "").lower()) for place, band in found)
    choices: dict[str, str] = {}
    for place, band in found:
        if _preference(item, place.key) == finest and str(band.get("name") or "").lower() == own_name:
            single = count_bands(item, item.assets[place.key]) <= 1
            copy_of = _RESOLUTION.sub("", _RESOLUTION.sub("", place.key.lower()))
            choices.setdefault(copy_of, place.key if single else f"{place.key}:{place.index}")
    if len(choices) > 1:
        listed = list(choices.values())
        raise ImageryError(
            f"item {item.id}: {name!r} is a band of {len(listed)} assets: {', '.join(listed)}",
            remedy=f"Say in imagery.bands which one to take in its place, such as {listed[0]}: one name for each band of the model, in "
            "the model's order.",
        )


def _choice(item: pystac.Item, place: BandPlace, band: dict[str, Any]) -> str:
    """What to write in imagery.bands to get this band."""
    if count_bands(item, item.assets[place.key]) <= 1:
        return place.key
    return str(band.get("name") or f"{place.key}:{place.index}")


def _wavelength(band: dict[str, Any]) -> float | None:
    """Micrometres; None when it is not stated."""
    value = band.get("eo:center_wavelength", band.get("center_wavelength"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _label(band: dict[str, Any], index: int) -> str:
    return str(band.get("name") or band.get("common_name") or index)


def _preference(item: pystac.Item, key: str) -> tuple[bool, float]:
    asset = item.assets[key]
    fields = asset.extra_fields
    preview = bool(_PREVIEW_ROLES.intersection(asset.roles or ())) or asset.media_type in ("image/png", "image/jpeg")
    transform = fields.get("proj:transform")
    facts = (fields.get("raster:bands") or [{}])[0]
    size = abs(transform[0]) if transform else facts.get("spatial_resolution") or fields.get("gsd") or float("inf")
    preview = preview or _RESOLUTION.sub("", _RESOLUTION.sub("", key.lower())) in _PREVIEW_KEYS
    preview = preview or (len(described_bands(item, asset)) == 3 and "visual" in asset.href.lower())
    return preview, float(size)


def _data_keys(item: pystac.Item) -> list[str]:
    """Keys of the assets with pixels: those with the role data, or else all rasters."""
    data = [key for key, asset in item.assets.items() if "data" in (asset.roles or ())]
    return data or [
        key
        for key, asset in item.assets.items()
        if not _NO_PIXELS.intersection(asset.roles or ())
        and ((asset.media_type or "").startswith(_RASTER) or asset.href.lower().endswith((".tif", ".tiff", ".jp2")))
    ]


def _no_band(item: pystac.Item, name: str) -> ImageryError:
    if not item.assets:
        return ImageryError(f"item {item.id}: has no assets", remedy="Leave the item out with imagery.exclude.")
    known = list(item.assets)
    known += [
        str(b[w])
        for a in item.assets.values()
        for b in described_bands(item, a)
        for w in ("common_name", "name")
        if b.get(w)
    ]
    known = list(dict.fromkeys(known))
    near = get_close_matches(name.lower(), [k.lower() for k in known], 1)
    hint = f" (did you mean {next(k for k in known if k.lower() == near[0])}?)" if near else ""
    stray = item.properties.get("bands") or item.properties.get("eo:bands")
    if stray and len(_data_keys(item)) > 1 and any(str(band.get("name")).lower() == name.lower() for band in stray):
        hint = "; its properties list that band, and do not say to which asset it belongs"
    return ImageryError(f"item {item.id}: no band {name!r}{hint}", remedy=f"It has: {', '.join(known)}.")
