"""The plan of a load: the images that are found, compared with the collection's inventory, and how their files are encoded.

Every band is a file of its own, with its own dtype, nodata, scale and offset. Validity is the same for all bands of an image: a
pixel is valid where every file of the scene has data (see swath.imagery.reading.mosaic). Where no number can stand for nodata,
the file gets an alpha band: it is compressed with the pixels, tile by tile, and GDAL takes it for the mask of the other band.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from swath.collection.inventory import Inventory, InventoryImage, raster_name, safe_file_name
from swath.engine.fingerprint import fingerprint
from swath.errors import AreaError, ImageryError
from swath.geo import Window, sheet_windows
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import PIXEL_TOLERANCE, output_window
from swath.imagery.reading.mosaic import check_scale
from swath.imagery.scene import Scene, Scenes, file_of
from swath.imagery.sources.find import find, find_each
from swath.maps.cog.encoding import Encoding

if TYPE_CHECKING:
    from swath.imagery.scene import Band
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import Imagery

FILES_VERSION = 2
"""Raise it when the files of the same imagery change, so that existing images are loaded again."""
RESERVED = frozenset({"collection", "catalog", "item_collection"})
"""Ids that no image gets: names of the documents of a STAC catalogue, in lower case."""
MAX_ID = 100
"""Longest id of an image, in characters: file names have 255, of which bands and suffixes take a part."""
PART_SUFFIX = "-part-"
"""Before the number in the id of an image that is one part of several, because one file would be too large."""
ALIGNMENT = 64
"""Images are cut at multiples of so many pixels, so that a network's stride and a file's tiles fall as in the original."""


@dataclass(frozen=True)
class ImageToLoad:
    """One image to load: an item of the collection."""

    id: str
    scenes: Scenes
    """One scene, or all scenes of a composite."""
    window: Window
    """The part that is loaded, in pixels of `scenes.image`."""
    encodings: tuple[Encoding, ...]
    """One for each band's file."""
    physical: bool
    """Whether the files hold physical values."""

    @cached_property
    def source(self) -> str:
        """Fingerprint of everything that the image's pixels depend on."""
        return fingerprint((FILES_VERSION, replace(self.scenes, notes=()), self.window, self.encodings, self.physical))

    @property
    def grid(self) -> GeoBox:
        """Grid of the image's files."""
        return self.scenes.image[self.window.roi]

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands of the image's files, with dtype, nodata, scale and offset of their values."""
        first = self.scenes.scenes[0].bands
        return tuple(
            replace(
                band, name=name, dtype=encoding.dtype, nodata=None if encoding.alpha else encoding.nodata,
                scale=1.0 if self.physical and not band.categorical else band.scale,
                offset=0.0 if self.physical and not band.categorical else band.offset,
            )
            for band, name, encoding in zip(first, self.scenes.bands, self.encodings, strict=True)
        )  # fmt: skip


@dataclass(frozen=True)
class LoadPlan:
    """The images to load, and those of the collection that stay."""

    new: tuple[ImageToLoad, ...]
    kept: tuple[InventoryImage, ...]
    """Images that stay, of this run's imagery and of earlier runs."""
    found: int
    """How many images this run's imagery has."""
    inventory: Inventory
    """Bands, units and grid of the collection; without images."""
    notes: tuple[str, ...] = ()


def plan_load(
    imagery: Imagery,
    inventory: Inventory,
    *,
    area: Area | None,
    grid: GridSpec | None,
    composite: str | None,
    physical: bool,
    margin: int,
    blocksize: int,
    sheet: int,
) -> LoadPlan:
    """Compare the imagery with the collection's inventory. Raises ImageryError when the two do not fit into one collection, AreaError
    when the area has no imagery."""
    if composite is not None:
        imagery = imagery.model_copy(update={"mosaic": composite})
    own_grids = grid is not None and grid.zones
    if own_grids and composite is not None:
        raise ImageryError("grid.zones: a composite has one grid", remedy="Leave grid.zones or composite out.")
    found = find_each(imagery, area=area) if own_grids else (find(imagery, area=area, grid=grid),)
    anchor = None if own_grids else _grid_anchor(found[0], inventory, grid)
    units = ("physical values" if physical else "numbers") + (f", {composite} composite" if composite else "")
    _check_compatible(inventory, found[0].bands, units)
    images: list[ImageToLoad] = []
    renamed: list[str] = []
    for scenes in found:
        if physical:
            check_scale(scenes)
        if scenes.image.crs is None:
            raise ImageryError(
                f"{file_of(scenes.scenes[0])}: no coordinate reference system, which a collection needs",
                remedy="Georeference the imagery first, with gdal_translate -a_srs.",
            )
        if composite is not None:
            _check_comparable(scenes, physical)
        for each in [scenes] if composite is not None else [replace(scenes, scenes=(one,)) for one in scenes.scenes]:
            base = each.image[:1, :1] if anchor is None else anchor
            on = replace(each, image=_covering_grid(base, each.scenes), notes=())
            name = "composite" if composite is not None else each.scenes[0].id
            if len(safe_file_name(name)) > MAX_ID:
                renamed.append(f"the image {name[:60]}... ({len(name)} characters) is loaded as {_short_id(name)}")
            images += _cut_images(name, on, area, margin, blocksize, sheet, physical)
    if not images:
        raise AreaError("the area has no pixel of the imagery", remedy="Check the area, and where the imagery lies.")
    images = _with_unique_ids(images, renamed)
    earlier = {image.id: inventory.image(image.id) for image in images}
    new = tuple(image for image in images if (existing := earlier[image.id]) is None or existing.source != image.source)
    reloaded = {image.id for image in new}
    # Images that were cut into other parts than now do not stay.
    cut_now = {_whole_id(image.id) for image in images}
    return LoadPlan(
        new,
        tuple(
            each
            for each in inventory.images
            if each.id not in reloaded and (each.id in earlier or _whole_id(each.id) not in cut_now)
        ),
        len(images),
        Inventory(found[0].bands, units, anchor),
        tuple(dict.fromkeys([*inventory.notes, *renamed, *(note for scenes in found for note in scenes.notes)])),
    )


def _grid_anchor(scenes: Scenes, inventory: Inventory, grid: GridSpec | None) -> GeoBox:
    """A GeoBox of one pixel: pixel size and origin of all images. Those of the collection when it has a grid."""
    requested: GeoBox = scenes.image[:1, :1]
    if inventory.grid is None:
        if inventory.images:
            raise ImageryError(
                "the collection's images are on grids of their own, and this run asks for one grid",
                remedy="Set grid: {zones: true} as before, or choose another folder with output.to.",
            )
        return requested
    if grid is not None:
        step, existing = abs(requested.affine.a), abs(inventory.grid.affine.a)
        if requested.crs != inventory.grid.crs or not math.isclose(step, existing, rel_tol=1e-9):
            raise ImageryError(
                f"grid: the collection has pixels of {existing:g} in {inventory.grid.crs}, not of {step:g} in {requested.crs}",
                remedy="Leave grid out, or choose another folder with output.to.",
            )
    return inventory.grid


def _check_compatible(inventory: Inventory, bands: tuple[str, ...], units: str) -> None:
    if not inventory.images:
        return
    for what, expected, given in (("bands", inventory.bands, bands), ("units", (inventory.units,), (units,))):
        if expected != given:
            raise ImageryError(
                f"the collection holds the {what} {', '.join(expected)}, and this run loads {', '.join(given)}",
                remedy="Choose another folder with output.to, or remove the old one.",
            )


def _check_comparable(scenes: Scenes, physical: bool) -> None:
    """Raise ImageryError for a composite of unscaled values whose scales or offsets differ."""
    meanings = {tuple((band.scale, band.offset) for band in scene.bands) for scene in scenes.scenes}
    if len(meanings) > 1 and not physical:
        raise ImageryError(
            "composite: the scenes' numbers stand for different physical values (their scales or offsets differ)",
            remedy="Set units: physical, or load each scene by itself.",
        )


def _covering_grid(base: GeoBox, scenes: Sequence[Scene]) -> GeoBox:
    """The grid of `base`, cut or extended by whole pixels to cover the scenes. It depends on these scenes only."""
    extents = [extent_pixels(band.geobox, base) for scene in scenes for band in scene.bands]
    if not np.isfinite(extents).all():
        raise ImageryError(
            f"{file_of(scenes[0])}: cannot be placed on a grid in {base.crs}",
            remedy="Set grid.crs to one that covers all.",
        )
    left, top, right, bottom = np.array(extents).T
    col, row = math.floor(left.min() + PIXEL_TOLERANCE), math.floor(top.min() + PIXEL_TOLERANCE)
    stop_col, stop_row = math.ceil(right.max() - PIXEL_TOLERANCE), math.ceil(bottom.max() - PIXEL_TOLERANCE)
    affine = base.affine if (row, col) == (0, 0) else base.affine @ base.affine.translation(col, row)
    return GeoBox((max(stop_row - row, 1), max(stop_col - col, 1)), affine, base.crs)


def _cut_images(
    name: str, scenes: Scenes, area: Area | None, margin: int, blocksize: int, sheet: int, physical: bool
) -> Iterator[ImageToLoad]:
    """One image, or several parts where one file would be too large; none where the area has no pixel."""
    try:
        inside = output_window(scenes.image, area)
    except AreaError:
        return
    window = _widen(inside, margin if area is not None else 0).intersection(Window(0, 0, *scenes.image.shape))
    if window is None:
        return
    encodings = _encodings(scenes, blocksize, physical)
    pieces = sheet_windows(window, max(blocksize, ALIGNMENT), sheet)
    for number, piece in enumerate(pieces):
        identity = _short_id(name) if len(pieces) == 1 else f"{_short_id(name)}{PART_SUFFIX}{number}"
        yield ImageToLoad(identity, scenes, piece, encodings, physical)


def _whole_id(identity: str) -> str:
    """The id of the image that this one is a part of, or its own."""
    whole, part, number = identity.rpartition(PART_SUFFIX)
    return whole if part and number.isdigit() else identity


def _widen(window: Window, margin: int) -> Window:
    """`margin` pixels more on each side, rounded outward to multiples of ALIGNMENT."""
    if not margin:
        return window
    row, col = (window.row - margin) // ALIGNMENT * ALIGNMENT, (window.col - margin) // ALIGNMENT * ALIGNMENT
    stop_row, stop_col = (-(-(stop + margin) // ALIGNMENT) * ALIGNMENT for stop in (window.stop_row, window.stop_col))
    return Window(row, col, stop_row - row, stop_col - col)


def _encodings(scenes: Scenes, blocksize: int, physical: bool) -> tuple[Encoding, ...]:
    """How each band's file is encoded: the scenes' own dtype, with a nodata value that no valid pixel has, or else an alpha band."""
    encodings = []
    for number in range(len(scenes.bands)):
        band_of_scenes = [scene.bands[number] for scene in scenes.scenes]
        flags = band_of_scenes[0].categorical
        own_dtype = np.result_type(*{np.dtype(band.dtype) for band in band_of_scenes})
        dtype = np.dtype(np.float32) if physical and not flags else own_dtype
        declared = {band.nodata for band in band_of_scenes}
        # In a file of several bands a pixel is invalid where all bands are nodata: one of them may hold that value and be valid.
        own_file = all(sum(other.href == band.href for other in scene.bands) == 1
                    for scene, band in zip(scenes.scenes, band_of_scenes, strict=True))  # fmt: skip
        if dtype.kind == "f":
            encodings.append(Encoding(str(dtype), math.nan, categorical=flags, blocksize=blocksize))
        elif (
            own_file
            and len(declared) == 1
            and None not in declared
            and (flags or scenes.resampling in ("nearest", "mode"))
        ):
            nodata = float(declared.pop() or 0)
            encodings.append(Encoding(str(dtype), nodata, categorical=flags, blocksize=blocksize))
        elif dtype in (np.uint8, np.uint16):  # dtypes of which GDAL accepts alpha bands
            encodings.append(Encoding(str(dtype), 0.0, 2, categorical=flags, blocksize=blocksize, alpha=True))
        else:  # the value at the end of a wide range
            limits = np.iinfo(str(dtype))
            end = float(limits.min or limits.max)
            encodings.append(Encoding(str(dtype), end, categorical=flags, blocksize=blocksize))
    return tuple(encodings)


def _short_id(name: str) -> str:
    """An id or a scene's name as the id of an image, of at most MAX_ID characters."""
    safe = safe_file_name(name)
    return safe if len(safe) <= MAX_ID else f"{safe[: MAX_ID - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _with_unique_ids(images: list[ImageToLoad], notes: list[str]) -> list[ImageToLoad]:
    """The images with ids of which no two name the same file, whatever the case of their letters, and none a file of the collection
    itself: the later ones of several get a number. Each change is added to `notes`."""
    taken = {f"{name}.json" for name in RESERVED}
    result = []
    for image in images:
        name, number = image.id, 1 if image.id.lower() in RESERVED else 2
        while taken & (files := _file_names(name, image.scenes.bands)):
            name, number = f"{image.id}-{number}", number + 1
        taken |= files
        if name != image.id:
            notes.append(f"the image {image.id} is loaded as {name}: another file of the collection has its name")
        result.append(image if name == image.id else replace(image, id=name))
    return result


def _file_names(identity: str, bands: tuple[str, ...]) -> set[str]:
    return {f"{identity}.json".lower(), *(raster_name(identity, band).lower() for band in bands)}
