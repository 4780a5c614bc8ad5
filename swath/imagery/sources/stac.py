"""Scenes from STAC items: match requested bands with assets, and take grid, dtype and scaling from the metadata."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
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
from swath.imagery.sources.band_meaning import contradiction_notes
from swath.imagery.sources.categorical import check_listed, is_categorical_name, is_listed, states_categories
from swath.imagery.sources.files import band_names, read_band, wanted_bands
from swath.imagery.sources.radiometry import radiometry, with_overrides
from swath.imagery.sources.stac_bands import (
    BandPlace,
    count_bands,
    described_bands,
    find_band,
    raster_fields,
    stated_facts,
)
from swath.imagery.sources.stac_check import FileCheck, completed
from swath.imagery.sources.stac_items import BrokenItems, find_items, item_span
from swath.storage.address import is_remote, local_href, redacted

if TYPE_CHECKING:
    import pystac

    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import StacImagery

log = logging.getLogger(__name__)

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


def find_scenes(
    imagery: StacImagery,
    bands: tuple[str, ...] | None,
    area: Area | None,
    grid: GridSpec | None = None,
    limits: IdentityLimits = LIMITS,
) -> Scenes:
    """Each item that passes the spec's filters is one scene; see find_items for their order.

    Bands are found by `stac_bands.find_band`. Scale, offset, nodata, dtype and grid come from the item when it states them, else from
    the file, which is then opened once. Where grid or dtype of the file are others than the item says, those of the file are used
    (see FileCheck). Raises ImageryError when an item lacks a band, and what find_items raises.
    """
    if imagery.mask is not None:
        check_mask(imagery.mask)
    requested = wanted_bands(imagery, bands)
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
    broken = BrokenItems()
    items = find_items(imagery, area, notes=notes, broken=broken)
    mask_band = (imagery.mask.band,) if imagery.mask is not None else ()
    check_listed(imagery.categorical, (*names, *(bands or ()), *mask_band))
    check = FileCheck(every_file=imagery.compare == "all")
    found = []
    for item in items:
        try:
            found.append(scene_of(item, names, imagery, notes, check))
        except ImageryError as error:
            broken.add(error)
    if not found:
        for note in notes:  # which no report will show
            log.warning(note)
        raise broken.errors[-len(items)]
    scenes = identified(tuple(found), notes, limits)
    broken.report(notes)
    notes += check.notes()
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


def scene_of(
    item: pystac.Item, names: tuple[str, ...], imagery: StacImagery, notes: list[str], check: FileCheck | None = None
) -> Scene:
    """The Scene of an item, with the named bands; files are compared by `check`. Raises ImageryError when it lacks a band."""
    quality = None
    with _naming(item):
        bands = tuple(_band(item, name, imagery, notes, check) for name in names)
        if imagery.mask is not None:
            quality = _band(item, imagery.mask.band, imagery, notes, check, numbers=False)
    first, _ = item_span(item)
    moment = first.isoformat().replace("+00:00", "Z") if first is not None else None
    return Scene(item.id, bands, moment, quality, item.properties.get("eo:cloud_cover"))


@contextlib.contextmanager
def _naming(item: pystac.Item) -> Iterator[None]:
    """Inside, messages on files that do not name their item get its id."""
    try:
        yield
    except ImageryError as error:
        if f"item {item.id}" in error.message:
            raise
        raise ImageryError(f"item {item.id}: {error.message}", remedy=error.remedy) from error


def _href(item: pystac.Item, key: str, imagery: StacImagery) -> str:
    asset = item.assets[key]
    href = asset.get_absolute_href() or asset.href
    check_reference(
        href, imagery.api or item.get_self_href() or imagery.catalog or "", f"item {item.id}: assets.{key}.href"
    )
    return local_href(href)


def _band(
    item: pystac.Item,
    name: str,
    imagery: StacImagery,
    notes: list[str],
    check: FileCheck | None,
    *,
    numbers: bool = True,
) -> Band:
    place = find_band(item, name, lambda key: _names_in_file(item, key, _href(item, key, imagery)))
    asset, index = item.assets[place.key], place.index
    href = _href(item, place.key, imagery)
    facts = stated_facts(asset, index)
    geobox, dtype = _geobox(item, asset), facts.get("data_type")
    if dtype not in _DATA_TYPES:  # "other", a complex type or a misspelling: the file's own is taken
        dtype = None
    file_stamp = "" if is_remote(href) else _identity(href, item, place.key)
    described = described_bands(item, asset)
    fields = described[index - 1] if index <= len(described) else {}
    in_file = False
    if geobox is None or dtype is None:
        file_band = opened = _read(item, place, href, name, file_stamp)
        if geobox is not None and check is not None:
            file_band = check.compare(item, place.key, geobox, opened.dtype, lambda: opened).band or opened
        geobox, dtype, in_file = file_band.geobox, file_band.dtype, file_band.categorical
        if geobox.crs is None:
            raise ImageryError(f"{redacted(href)}: no coordinate reference system")
        if check is not None:
            check.complete(item, place.key, facts, file_band)
        facts = completed(facts, file_band)
    elif check is not None and check.wants(item, place.key, href):
        found = check.compare(item, place.key, geobox, str(dtype), lambda: _read(item, place, href, name, file_stamp))
        if found.band is not None:
            facts = check.complete(item, place.key, facts, found.band)
        if found.band is not None and found.differs:
            geobox, dtype = found.band.geobox, found.band.dtype
    in_file = in_file or (check is not None and check.is_categorical(item, place.key))
    stated = [str(fields[each]) for each in ("name", "common_name") if fields.get(each)]
    notes += contradiction_notes(f"asset {place.key}", name, stated)
    names = (name, place.key, *stated)
    categorical = (
        not numbers
        or in_file
        or states_categories(fields)
        or states_categories(raster_fields(asset, index))
        or (count_bands(item, asset) <= 1 and states_categories(asset.extra_fields | {"roles": asset.roles}))
        or any(map(is_categorical_name, names))
        or is_listed(imagery.categorical, *names)
    )
    scale, offset, nodata = facts.get("scale"), facts.get("offset"), facts.get("nodata")
    if categorical:
        scale, offset = None, None
    else:
        known = radiometry(item, place.key, fields, facts)
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
        categorical=categorical,
        stamp=file_stamp,
    )


def _identity(href: str, item: pystac.Item, key: str) -> str:
    try:
        return identity(href)
    except ImageryError as error:
        raise ImageryError(f"item {item.id}: assets.{key}.href: {error.message}", remedy=error.remedy) from error


def _read(item: pystac.Item, place: BandPlace, href: str, name: str, file_stamp: str) -> Band:
    """The band as its file describes it."""
    with gdal_errors(href, f"looking into asset {place.key} of item {item.id}"), open_raster(href) as file:
        if place.index > file.count:
            raise ImageryError(f"{redacted(href)}: item {item.id} names band {place.index}, the file has {file.count}")
        if place.whole and len(own := band_names(file, href)) > 1:
            raise _several(item, place.key, own)
        return read_band(file, href, place.index, name, file_stamp)


def _names_in_file(item: pystac.Item, key: str, href: str) -> list[str]:
    with gdal_errors(href, f"looking into asset {key} of item {item.id}"), open_raster(href) as file:
        return band_names(file, href)


def _several(item: pystac.Item, key: str, names: list[str]) -> ImageryError:
    choices = ", ".join(f"{key}:{name or number}" for number, name in enumerate(names, 1))
    return ImageryError(
        f"item {item.id}: asset {key} has {len(names)} bands",
        remedy=f"Say in imagery.bands which one to take: {choices}.",
    )


def _stated_crs(fields: dict[str, Any]) -> Any:
    """The CRS in the proj: fields of an asset, which go before those of its item whichever they are, or of the item."""
    crs = fields.get("proj:code") or fields.get("proj:wkt2") or fields.get("proj:projjson")
    return crs or (f"EPSG:{fields['proj:epsg']}" if fields.get("proj:epsg") else None)


def _geobox(item: pystac.Item, asset: pystac.Asset) -> GeoBox | None:
    """The grid from the proj: fields of the asset, or else of the item; None when they are incomplete."""

    def stated(name: str) -> Any:
        return asset.extra_fields.get(name, item.properties.get(name))

    shape, transform = stated("proj:shape"), stated("proj:transform")
    crs = _stated_crs(asset.extra_fields) or _stated_crs(item.properties)
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
