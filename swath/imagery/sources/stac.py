"""Scenes from STAC items: match requested bands with assets, and take grid, dtype and scaling from the metadata."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as PyprojCRS
from pyproj.exceptions import CRSError

from swath.errors import ImageryError
from swath.imagery.geometry.image_grid import image_grid
from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.imagery.reading.quality_mask import check_mask
from swath.imagery.remote.host_check import check_reference
from swath.imagery.remote.identities import LIMITS, IdentityLimits, identities, identity
from swath.imagery.scene import Band, Scene, Scenes
from swath.imagery.sources.files import read_band, wanted_bands, with_overrides
from swath.imagery.sources.radiometry import radiometry
from swath.imagery.sources.stac_items import UNDATED, find_items, item_span
from swath.storage.address import is_remote, redacted

if TYPE_CHECKING:
    import pystac

    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import StacImagery

_DATA_TYPES = {
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
}
_PREVIEW_ROLES = {"thumbnail", "overview", "visual"}


def find_scenes(
    imagery: StacImagery,
    bands: tuple[str, ...] | None,
    area: Area | None,
    grid: GridSpec | None = None,
    limits: IdentityLimits = LIMITS,
) -> Scenes:
    """Each item that passes the spec's filters is one scene; see find_items for their order.

    A band's name is looked up among asset keys, then common names, then band names. Scale, offset, nodata, dtype and grid
    come from the item when it states them, else from the file, which is then opened once. Raises ImageryError when an item lacks a
    band, and what find_items raises.
    """
    if imagery.mask is not None:
        check_mask(imagery.mask)
    requested = wanted_bands(imagery.bands, bands)
    if not requested:
        raise ImageryError(
            "imagery.bands: say which bands to take", remedy="Name assets or common names, such as [red, green, blue]."
        )
    if numbers := [want for want in requested if isinstance(want, int)]:
        raise ImageryError(
            f"imagery.bands: {numbers[0]} is a number; STAC bands have names", remedy="Name assets or common names."
        )
    names = tuple(str(want) for want in requested)
    notes: list[str] = []
    items = find_items(imagery, area, notes=notes)
    scenes = identified(tuple(scene_of(item, names, imagery, notes) for item in items), notes, limits)
    return Scenes(
        scenes=scenes,
        image=image_grid(scenes, grid),
        bands=bands or names,
        mosaic=imagery.mosaic,
        resampling=imagery.resampling,
        mask=imagery.mask,
        notes=tuple(dict.fromkeys(notes)),
    )


def identified(scenes: tuple[Scene, ...], notes: list[str], limits: IdentityLimits) -> tuple[Scene, ...]:
    """The scenes with the identities of their remote files, all asked in parallel: a file may be overwritten while its item stays."""
    wanted = [band.href for scene in scenes for band in _bands_of(scene) if is_remote(band.href)]
    if not wanted:
        return scenes
    found = identities(wanted, notes, limits)

    def stamped(band: Band) -> Band:
        return replace(band, stamp=found.get(band.href, band.stamp))

    return tuple(
        replace(
            scene,
            bands=tuple(map(stamped, scene.bands)),
            quality=None if scene.quality is None else stamped(scene.quality),
        )
        for scene in scenes
    )


def _bands_of(scene: Scene) -> tuple[Band, ...]:
    return scene.bands if scene.quality is None else (*scene.bands, scene.quality)


def scene_of(item: pystac.Item, names: tuple[str, ...], imagery: StacImagery, notes: list[str]) -> Scene:
    """The Scene of an item, with the named bands. Raises ImageryError when it lacks one."""
    bands = tuple(_band(item, name, imagery, notes) for name in names)
    quality = _band(item, imagery.mask.band, imagery, notes, numbers=False) if imagery.mask is not None else None
    first, _ = item_span(item)
    moment = first.isoformat().replace("+00:00", "Z") if first not in (None, UNDATED) else None
    return Scene(item.id, bands, moment, quality, item.properties.get("eo:cloud_cover"))


def _band(item: pystac.Item, name: str, imagery: StacImagery, notes: list[str], *, numbers: bool = True) -> Band:
    key, index = _asset(item, name)
    asset = item.assets[key]
    href = asset.get_absolute_href() or asset.href
    check_reference(
        href, imagery.api or item.get_self_href() or imagery.catalog or "", f"item {item.id}: assets.{key}.href"
    )
    facts = _facts(asset, index)
    geobox, dtype = _geobox(item, asset), facts.get("data_type")
    if dtype not in _DATA_TYPES:  # "other", a complex type or a misspelling: the file's own is taken
        dtype = None
    file_stamp = "" if is_remote(href) else _identity(href, item, key)
    if geobox is None or dtype is None:
        with gdal_errors(href, f"looking into asset {key} of item {item.id}"), open_raster(href) as file:
            if index > file.count:
                raise ImageryError(f"{redacted(href)}: item {item.id} names band {index}, the file has {file.count}")
            file_band = read_band(file, href, index, name, file_stamp)
        geobox, dtype = file_band.geobox, file_band.dtype
        if geobox.crs is None:
            raise ImageryError(f"{redacted(href)}: no coordinate reference system")
        facts = {"nodata": file_band.nodata, "scale": file_band.scale, "offset": file_band.offset} | facts
    scale, offset, nodata = facts.get("scale"), facts.get("offset"), facts.get("nodata")
    if numbers:
        described = _described(asset)
        known = radiometry(item, key, described[index - 1] if index <= len(described) else {}, facts)
        scale, offset = with_overrides(imagery.scale, imagery.offset, known.scale, known.offset)
        nodata = known.nodata
        if imagery.scale is None and imagery.offset is None:
            notes.extend(known.notes)
    return Band(
        name=name,
        href=href,
        index=index,
        geobox=geobox,
        dtype=str(dtype),
        nodata=None if nodata is None else float(nodata),
        scale=None if scale is None else float(scale),
        offset=None if offset is None else float(offset),
        stamp=file_stamp,
    )


def _identity(href: str, item: pystac.Item, key: str) -> str:
    try:
        return identity(href)
    except ImageryError as error:
        raise ImageryError(f"item {item.id}: assets.{key}.href: {error.message}", remedy=error.remedy) from error


def _described(asset: pystac.Asset) -> list[dict[str, Any]]:
    """An asset's bands, with `name` and `common_name` when stated: STAC 1.1 `bands`, or 1.0 `eo:bands`."""
    fields = asset.extra_fields
    if fields.get("bands"):
        return [band | {"common_name": band.get("eo:common_name", band.get("common_name"))} for band in fields["bands"]]
    return list(fields.get("eo:bands") or ())


def _asset(item: pystac.Item, name: str) -> tuple[str, int]:
    """(asset key, 1-based band index) for a band's name."""
    lowered = name.lower()
    for key in [name, *(k for k in item.assets if k.lower() == lowered)]:
        if key in item.assets and len(_described(item.assets[key])) <= 1:
            return key, 1
    for what in ("common_name", "name"):
        found = [
            (key, index)
            for key, asset in item.assets.items()
            for index, band in enumerate(_described(asset), 1)
            if str(band.get(what) or "").lower() == lowered
        ]
        if found:
            # The same band often exists at several resolutions, and in previews.
            return min(found, key=lambda place: _preference(item.assets[place[0]]))
    known = list(item.assets)
    known += [
        str(b[w]) for a in item.assets.values() for b in _described(a) for w in ("common_name", "name") if b.get(w)
    ]
    known = list(dict.fromkeys(known))
    near = get_close_matches(lowered, [k.lower() for k in known], 1)
    hint = f" (did you mean {next(k for k in known if k.lower() == near[0])}?)" if near else ""
    raise ImageryError(f"item {item.id}: no band {name!r}{hint}", remedy=f"It has: {', '.join(known)}.")


def _preference(asset: pystac.Asset) -> tuple[bool, float]:
    fields = asset.extra_fields
    preview = bool(_PREVIEW_ROLES.intersection(asset.roles or ())) or asset.media_type in ("image/png", "image/jpeg")
    transform = fields.get("proj:transform")
    facts = (fields.get("raster:bands") or [{}])[0]
    size = abs(transform[0]) if transform else facts.get("spatial_resolution") or fields.get("gsd") or float("inf")
    return preview or (len(_described(asset)) == 3 and "visual" in asset.href.lower()), float(size)


def _facts(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """data_type, nodata, scale and offset of a band, as far as stated: fields of the raster extension 1.x, or of STAC 1.1."""
    fields = asset.extra_fields
    described = fields.get("bands") or []
    old = fields.get("raster:bands") or []
    layers = [
        fields,
        old[index - 1] if index <= len(old) else {},
        described[index - 1] if index <= len(described) else {},
    ]
    facts: dict[str, Any] = {}
    for layer in layers:
        for name in ("data_type", "nodata", "scale", "offset"):
            value = layer.get(name, layer.get(f"raster:{name}"))
            if value is not None:
                facts[name] = value
    return facts


def _geobox(item: pystac.Item, asset: pystac.Asset) -> GeoBox | None:
    """The grid from the proj: fields of the asset, or else of the item; None when they are incomplete."""

    def stated(name: str) -> Any:
        return asset.extra_fields.get(name, item.properties.get(name))

    shape, transform = stated("proj:shape"), stated("proj:transform")
    crs = stated("proj:code") or stated("proj:wkt2") or stated("proj:projjson")
    if crs is None and stated("proj:epsg"):
        crs = f"EPSG:{stated('proj:epsg')}"
    if not shape or not transform or not crs or len(shape) != 2 or len(transform) not in (6, 9):
        return None
    try:
        known = CRS(PyprojCRS.from_json_dict(crs).to_wkt() if isinstance(crs, dict) else crs)
    except (CRSError, ValueError) as error:
        raise ImageryError(
            f"item {item.id}: not a valid STAC item: its proj: fields name no known coordinate reference system: {error}",
            remedy="Correct the document, or leave the item out.",
        ) from error
    return GeoBox((int(shape[0]), int(shape[1])), Affine(*(float(v) for v in transform[:6])), known)
