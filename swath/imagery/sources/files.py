"""Scenes from raster files: expand patterns, read each file's metadata once, match the requested bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from swath.errors import ImageryError
from swath.file_identity import is_unknown
from swath.imagery.geometry.image_grid import image_grid
from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.imagery.reading.quality_mask import check_mask
from swath.imagery.remote.identities import WITHOUT_VERSION, identity
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.imagery.scene import Band, Scene, Scenes
from swath.imagery.sources.band_choice import ONE_BAND_EACH, check_names, check_order, check_products
from swath.imagery.sources.band_meaning import contradiction_notes
from swath.imagery.sources.categorical import check_listed, is_categorical_file, is_categorical_name, is_listed
from swath.imagery.sources.file_notes import file_notes
from swath.imagery.sources.path_patterns import band_file_names, has_band_files, matching_paths, scene_files
from swath.imagery.sources.product_folders import files_of_products, has_products, name_in_products
from swath.imagery.sources.product_metadata import product_of
from swath.imagery.sources.radiometry import with_overrides
from swath.spec.fields.paths import BAND
from swath.storage.address import redacted

if TYPE_CHECKING:
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import FilesImagery, StacImagery

MOST_BANDS = 4096
"""A file with more is damaged, or a cube of which a few bands are wanted."""
_SHOWN_BANDS = 100
"""In messages."""
_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}


def find_scenes(
    imagery: FilesImagery,
    bands: tuple[str, ...] | None,
    area: Area | None,
    grid: GridSpec | None = None,
    policy: RequestPolicy = POLICY,
) -> Scenes:
    """Each file of `imagery.paths` is one scene, in the order of the paths; files that match a pattern are sorted. Where the paths hold
    `{band}`, each file is one band, and a scene is all files whose names are alike but for that.

    `bands` are the model's names; `imagery.bands`, when given, says which bands of the files those are, by the files' names or
    numbers. Raises ImageryError when nothing is found or a file does not fit, MissingExtra when a URL needs a package,
    CredentialsError when a file may not be read.
    """
    if imagery.mask is not None:
        check_mask(imagery.mask)
    requested = wanted_bands(imagery, bands)
    if has_products(imagery.paths):
        imagery = imagery.model_copy(update={"paths": files_of_products(imagery.paths)})
        requested = tuple(map(name_in_products, requested)) if requested is not None else None
    notes: list[str] = []
    unnamed: list[str] = []
    if has_band_files(imagery.paths):
        scenes = _scenes_of_band_files(imagery, requested, bands, notes, policy)
    else:
        paths = matching_paths(imagery.paths)
        scenes = [_scene(href, imagery, requested, bands, notes, unnamed, policy) for href in paths]
    check_products(unnamed, bands)
    without_crs = [scene for scene in scenes if scene.bands[0].geobox.crs is None]
    if without_crs and len(without_crs) < len(scenes):
        raise ImageryError(
            f"{without_crs[0].bands[0].href}: no coordinate reference system, but other files have one",
            remedy="Georeference the file with gdal_translate -a_srs, or leave it out.",
        )
    if without_crs:
        if area is not None:
            raise ImageryError(
                f"{without_crs[0].bands[0].href}: no coordinate reference system, so no area can be found on it",
                remedy="Leave the area out to map the whole image, or georeference the file (gdal_translate -a_srs).",
            )
        notes.append("the imagery has no coordinate reference system; neither has the map")
        if len(without_crs) > 1:
            notes.append(f"the {len(without_crs)} files without one are stacked, pixel by pixel")
    names = bands or tuple(band.name for band in scenes[0].bands)
    return Scenes(
        scenes=tuple(scenes),
        image=image_grid(scenes, grid),
        bands=names,
        mosaic=imagery.mosaic,
        resampling=imagery.resampling,
        mask=imagery.mask,
        notes=tuple(dict.fromkeys(notes)),
    )


def wanted_bands(imagery: FilesImagery | StacImagery, model: tuple[str, ...] | None) -> tuple[str | int, ...] | None:
    """The bands to find: the spec's, else the model's. Raises ImageryError when their numbers differ, or their order."""
    spec = imagery.bands
    if spec is None:
        return model
    if model is not None and len(spec) != len(model):
        raise ImageryError(
            f"imagery.bands names {len(spec)} bands, the model takes {len(model)}: {', '.join(model)}",
            remedy="Name one band for each of the model's, in the model's order.",
        )
    if not imagery.repeat_bands:
        check_order(spec, model)
    return spec


def _scene(
    href: str,
    imagery: FilesImagery,
    requested: tuple[str | int, ...] | None,
    model: tuple[str, ...] | None,
    notes: list[str],
    unnamed: list[str],
    policy: RequestPolicy,
) -> Scene:
    """The scene of a file. Its address is added to `unnamed` when it holds one band without a name."""
    file_stamp = identity(href, policy)
    if is_unknown(file_stamp):
        notes.append(f"{redacted(href)}: {WITHOUT_VERSION}; what is computed of it is not reused")
    with gdal_errors(href, "opening it"), open_raster(href, policy) as file:
        if file.crs is None and file.gcps[0]:
            raise ImageryError(
                f"{redacted(href)}: has ground control points instead of a grid",
                remedy="Warp it first, with gdalwarp or rio warp.",
            )
        if requested is None and file.count > MOST_BANDS:
            raise ImageryError(
                f"{redacted(href)}: has {file.count} bands; at most {MOST_BANDS} are read without being named",
                remedy="Name those to read in imagery.bands.",
            )
        names = band_names(file, href, imagery)
        indexes = _indexes(requested, names, href, notes)
        in_file = [description or "" for description in file.descriptions]
        described = imagery.names or in_file
        if model is not None and not imagery.repeat_bands:
            check_names(indexes, described, href, model)
            by_file_name = [PurePosixPath(redacted(href)).stem] if len(names) == 1 else []
            for (index, _), own in zip(indexes, model, strict=True):
                notes += contradiction_notes(
                    f"{redacted(href)}: band {index}", own, [in_file[index - 1], *by_file_name]
                )
        if len(names) == 1 and not any(described):
            unnamed.append(href)
        _note_colours(file, imagery, requested, names, notes)
        every = _BandFacts.of(file, href)
        bands = tuple(read_band(file, href, index, name, file_stamp, imagery, facts=every) for index, name in indexes)
        notes += file_notes(file, href, bands, imagery.nodata)
        quality = None
        if imagery.mask is not None:
            ((index, name),) = _indexes((imagery.mask.band,), names, href, notes, guess=False)
            quality = read_band(file, href, index, name, file_stamp, imagery, numbers=False)
    if imagery.categorical:
        read = [*bands, *([quality] if quality is not None else [])]
        check_listed(
            imagery.categorical, [*(band.name for band in read), *(band.index for band in read), *filter(None, names)]
        )
    return Scene(PurePosixPath(redacted(href)).stem, bands, quality=quality)


def _scenes_of_band_files(
    imagery: FilesImagery,
    requested: tuple[str | int, ...] | None,
    model: tuple[str, ...] | None,
    notes: list[str],
    policy: RequestPolicy,
) -> list[Scene]:
    """Scenes of files that hold one band each."""
    names = band_file_names(requested, imagery.names)
    mask = imagery.mask.band if imagery.mask is not None else None
    scenes = []
    for found in scene_files(imagery.paths, names, mask):
        chosen = names or tuple(band for band in found.files if band != mask)
        bands, product = [], None
        for position, name in enumerate(chosen):
            band, stem = _band_file(found.files[name], name, imagery, notes, policy)
            product = product_of(band.href, notes)
            band = product.described(band, imagery, notes) if product is not None else band
            if model is not None and not imagery.repeat_bands:
                notes += contradiction_notes(redacted(band.href), model[position], [name, stem])
            bands.append(band)
        quality = None
        if mask is not None:
            quality, _ = _band_file(found.files[mask], mask, imagery, notes, policy, numbers=False)
        if imagery.categorical:
            check_listed(imagery.categorical, [*chosen, *([mask] if mask else [])])
        scene = Scene(found.id, tuple(bands), quality=quality)
        if product is not None:
            scene = replace(scene, datetime=product.datetime, cloud_cover=product.cloud_cover)
        scenes.append(scene)
    return scenes


def _band_file(
    href: str, name: str, imagery: FilesImagery, notes: list[str], policy: RequestPolicy, *, numbers: bool = True
) -> tuple[Band, str]:
    """The one band of a file, and the stem of its name."""
    stamp = identity(href, policy)
    if is_unknown(stamp):
        notes.append(f"{redacted(href)}: {WITHOUT_VERSION}; what is computed of it is not reused")
    with gdal_errors(href, "opening it"), open_raster(href, policy) as file:
        if len(band_names(file, href)) != 1:
            raise ImageryError(
                f"{redacted(href)}: has {file.count} bands, and its name says that it is band {name}",
                remedy=f"Leave {BAND} out of imagery.paths for files of several bands.",
            )
        band = read_band(file, href, 1, name, stamp, imagery, numbers=numbers)
        if numbers:
            notes += file_notes(file, href, (band,), imagery.nodata)
    return band, PurePosixPath(redacted(href)).stem


def band_names(file: DatasetReader, href: str, imagery: FilesImagery | None = None) -> list[str]:
    """Names of the file's bands without alpha; empty strings for bands without a name.

    A band that is tagged as alpha but has another name, from the spec or in its description, is a band.
    """
    descriptions = [d or "" for d in file.descriptions]
    named = imagery is not None and imagery.names is not None and len(imagery.names) == file.count
    colours = [
        c
        for c, d in zip(file.colorinterp, descriptions, strict=True)
        if named or c is not ColorInterp.alpha or d.lower() not in ("", "alpha")
    ]
    if imagery is not None and imagery.names is not None:
        if len(imagery.names) != len(colours):
            raise ImageryError(
                f"{redacted(href)}: has {len(colours)} bands, imagery.names names {len(imagery.names)}",
                remedy=ONE_BAND_EACH if len(colours) == 1 else "",
            )
        return list(imagery.names)
    described = descriptions[: len(colours)]
    return described if any(described) else [_COLOURS.get(c, "") for c in colours]


def _note_colours(
    file: DatasetReader,
    imagery: FilesImagery,
    requested: tuple[str | int, ...] | None,
    names: list[str],
    notes: list[str],
) -> None:
    """Note that bands are chosen by their colours alone: writers tag any three bands of bytes as red, green and blue."""
    if imagery.names is not None or any(file.descriptions) or all(isinstance(each, int) for each in requested or ()):
        return
    lowered = [str(each).lower() for each in requested or ()]
    found = [f"band {index} is {name}" for index, name in enumerate(names, 1) if name and name in lowered]
    if found:
        notes.append(
            f"bands without names: by the files' colour interpretation {', '.join(found)}; imagery.names says otherwise"
        )


def _indexes(
    requested: tuple[str | int, ...] | None, names: list[str], href: str, notes: list[str], *, guess: bool = True
) -> list[tuple[int, str]]:
    """(1-based index, name) for each requested band."""
    if requested is None:
        return [(i, name or str(i)) for i, name in enumerate(names, 1)]
    if guess and not any(names) and all(isinstance(a, str) for a in requested) and len(requested) == len(names):
        notes.append(f"{redacted(href)}: its bands have no names; taken in order as {', '.join(map(str, requested))}")
        return [(i, str(name)) for i, name in enumerate(requested, 1)]
    return [_index(want, names, href) for want in requested]


def _index(want: str | int, names: list[str], href: str) -> tuple[int, str]:
    shown = [name or str(i) for i, name in enumerate(names[:_SHOWN_BANDS], 1)]
    has = ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
    if isinstance(want, int):
        if not 1 <= want <= len(names):
            raise ImageryError(f"{redacted(href)}: no band {want}; bands count from 1 and it has {len(names)}: {has}")
        return want, names[want - 1] or str(want)
    lowered = [name.lower() for name in names]
    if want.lower() in lowered:
        index = names.index(want) if want in names else lowered.index(want.lower())
        return index + 1, want
    near = get_close_matches(want.lower(), [n for n in lowered if n], 1)
    hint = f" (did you mean {names[lowered.index(near[0])]}?)" if near else ""
    remedy = "Say in imagery.bands which bands to take" + (
        "." if any(names) else ", by number, or name them all in imagery.names."
    )
    if len(names) == 1 and not any(names):
        remedy = ONE_BAND_EACH
    raise ImageryError(f"{redacted(href)}: no band {want!r}{hint}; it has {has}", remedy=remedy)


@dataclass(frozen=True)
class _BandFacts:
    """What a file says of its bands, by their position. Each is read once: GDAL goes through all bands for it."""

    grid: GeoBox
    dtypes: Sequence[str]
    nodata: Sequence[float | None]
    scales: Sequence[float]
    offsets: Sequence[float]
    descriptions: Sequence[str | None]
    colours: Sequence[ColorInterp]

    @classmethod
    def of(cls, file: DatasetReader, href: str) -> Self:
        """Raises ImageryError for a file without an extent."""
        return cls(
            _grid(file, href), file.dtypes, file.nodatavals, file.scales, file.offsets, file.descriptions, file.colorinterp
        )  # fmt: skip


def read_band(
    file: DatasetReader,
    href: str,
    index: int,
    name: str,
    file_stamp: str,
    imagery: FilesImagery | None = None,
    *,
    numbers: bool = True,
    facts: _BandFacts | None = None,
) -> Band:
    """The metadata of one band of an open file. The spec's scale and offset override the file's; its nodata is used when the file has
    none.

    `numbers=False` is for quality bands, to which the spec's nodata, scale and offset do not apply. Raises ImageryError for complex
    pixels.
    """
    facts = facts or _BandFacts.of(file, href)
    dtype = facts.dtypes[index - 1]
    if dtype.startswith("complex"):
        raise ImageryError(
            f"{redacted(href)}: band {index} has complex pixels ({dtype}), such as a radar image before detection; "
            "their amplitude or intensity is needed",
            remedy="Compute it first, such as with gdal_translate -ot Float32 on "
            f"'DERIVED_SUBDATASET:AMPLITUDE:{redacted(href)}' (or INTENSITY, PHASE).",
        )
    nodata = facts.nodata[index - 1]
    scale: float | None = None
    offset: float | None = None
    if (facts.scales[index - 1], facts.offsets[index - 1]) != (1.0, 0.0):
        scale, offset = facts.scales[index - 1], facts.offsets[index - 1]
    categorical = not numbers or _is_categorical(facts, href, index, name, imagery)
    if categorical:
        scale, offset = None, None
    elif imagery is not None:
        nodata = imagery.nodata if nodata is None else nodata
        scale, offset = with_overrides(imagery.scale, imagery.offset, scale, offset)
    return Band(
        name=name,
        href=href,
        index=index,
        geobox=facts.grid,
        dtype=dtype,
        nodata=nodata,
        scale=scale,
        offset=offset,
        categorical=categorical,
        stamp=file_stamp,
    )


def _grid(file: DatasetReader, href: str) -> GeoBox:
    """The file's grid. Raises ImageryError for one without an extent in floating point, which only a damaged file has."""
    grid, (height, width) = GeoBox(file.shape, file.transform, _crs(file)), file.shape
    corners = [file.transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    across, down = (max(axis) - min(axis) for axis in zip(*corners, strict=True))
    if not (0 < across < math.inf and 0 < down < math.inf and 0 < abs(file.transform.determinant) < math.inf):
        raise ImageryError(
            f"{redacted(href)}: its georeference gives pixels no size: {tuple(file.transform)[:6]}",
            remedy="Georeference the file again (gdal_translate -a_ullr), or fetch it again.",
        )
    return grid


def _is_categorical(facts: _BandFacts, href: str, index: int, name: str, imagery: FilesImagery | None) -> bool:
    names = [name, facts.descriptions[index - 1] or ""]
    if imagery is not None:
        names += [imagery.names[index - 1]] if imagery.names is not None else []
        if is_listed(imagery.categorical, index, *names):
            return True
    alone = len(facts.dtypes) == 1 and is_categorical_file(PurePosixPath(redacted(href)).stem)
    return alone or facts.colours[index - 1] is ColorInterp.palette or any(map(is_categorical_name, names))


def _crs(file: DatasetReader) -> str | None:
    """The file's CRS by its EPSG code when it is exactly that one, as in STAC items; else as WKT."""
    if file.crs is None:
        return None
    code = file.crs.to_epsg(confidence_threshold=100)
    return f"EPSG:{code}" if code is not None else file.crs.to_wkt()
