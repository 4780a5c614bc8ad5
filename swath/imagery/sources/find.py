"""Finds the scenes of a spec, from files or STAC, on one image grid, one for each UTM zone, or one for each scene."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from swath.errors import ImageryError
from swath.imagery.geometry.image_grid import image_grid, pixel_offset
from swath.imagery.geometry.thin_area import thin_area_note
from swath.imagery.geometry.utm_zones import split_zones, utm_zone
from swath.imagery.scene import Scenes, band_resampling
from swath.imagery.sources import files, stac
from swath.imagery.sources.band_choice import check_repeated
from swath.imagery.sources.band_meaning import contradiction_notes
from swath.imagery.sources.cloud_cover import sort_by_cloud_cover
from swath.imagery.sources.scene_checks import check_scenes
from swath.spec.fields.imagery import FilesImagery

if TYPE_CHECKING:
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import StacImagery


def find(
    imagery: FilesImagery | StacImagery,
    bands: tuple[str, ...] | None = None,
    area: Area | None = None,
    grid: GridSpec | None = None,
) -> Scenes:
    """All scenes of `imagery` on one image grid, in the order of its mosaic rule. `bands` are the model's names. Raises ImageryError,
    CredentialsError, ReadFailed, MissingExtra."""
    scenes = _found(imagery, bands, area, grid)
    if grid is not None and grid.zones and len(zones := {utm_zone(s.bands[0].geobox.crs) for s in scenes.scenes}) > 1:
        raise ImageryError(
            f"grid.zones: the imagery is in the UTM zones {', '.join(sorted(map(str, zones)))}, and this pipeline makes one sheet",
            remedy="Leave grid.zones out, and choose the map's grid with grid.crs.",
        )
    return _with_notes(scenes, area)


def find_sheets(
    imagery: FilesImagery | StacImagery,
    bands: tuple[str, ...] | None = None,
    area: Area | None = None,
    grid: GridSpec | None = None,
) -> tuple[Scenes, ...]:
    """As `find`, but with `grid.zones` one `Scenes` for each UTM zone."""
    scenes = _found(imagery, bands, area, grid)
    sheets = split_zones(scenes, grid) if grid is not None and grid.zones else (scenes,)
    return tuple(_with_notes(sheet, area) for sheet in sheets)


def find_each(
    imagery: FilesImagery | StacImagery, bands: tuple[str, ...] | None = None, area: Area | None = None
) -> tuple[Scenes, ...]:
    """As `find`, but one `Scenes` for each scene, on its own grid."""
    scenes = _found(imagery, bands, area, None)
    return tuple(_with_notes(replace(scenes, scenes=(each,), image=image_grid([each])), area) for each in scenes.scenes)


def _found(
    imagery: FilesImagery | StacImagery, bands: tuple[str, ...] | None, area: Area | None, grid: GridSpec | None
) -> Scenes:
    """The scenes in the order of the mosaic rule."""
    if isinstance(imagery, FilesImagery):
        scenes = files.find_scenes(imagery, bands, area, grid)
    else:
        scenes = stac.find_scenes(imagery, bands, area, grid)
    scenes = _with_equal_kinds(scenes)
    check_scenes(scenes)
    if not imagery.repeat_bands:
        chosen = [
            note
            for want, own in zip(imagery.bands or (), bands or (), strict=False)
            for note in contradiction_notes("what imagery.bands names", own, [str(want)])
        ]
        scenes = replace(scenes, notes=(*scenes.notes, *chosen))
        check_repeated(scenes, one_file=isinstance(imagery, FilesImagery))
    if (
        scenes.mosaic == "median"
        and len(scenes.scenes) > 1
        and all(band.categorical for band in scenes.scenes[0].bands)
    ):
        raise ImageryError(
            f"imagery.mosaic: there is no median of flags or classes ({', '.join(scenes.bands)})",
            remedy="Use first, last or least_cloud.",
        )
    if scenes.mosaic != "least_cloud":
        return scenes
    notes = list(scenes.notes)
    return replace(scenes, scenes=sort_by_cloud_cover(scenes.scenes, scenes.mask, notes), notes=tuple(notes))


def _with_equal_kinds(scenes: Scenes) -> Scenes:
    """A band that holds flags or classes in one scene does so in all: catalogues do not describe every item alike."""
    flags = {number for scene in scenes.scenes for number, band in enumerate(scene.bands) if band.categorical}
    return replace(
        scenes,
        scenes=tuple(
            replace(
                scene,
                bands=tuple(
                    replace(band, categorical=True, scale=None, offset=None) if number in flags else band
                    for number, band in enumerate(scene.bands)
                ),
            )
            for scene in scenes.scenes
        ),
    )


def _with_notes(scenes: Scenes, area: Area | None) -> Scenes:
    notes = [*scenes.notes, *resampling_notes(scenes)]
    if area is not None and (note := thin_area_note(area, scenes.image)):
        notes.append(note)
    return replace(scenes, notes=tuple(dict.fromkeys(notes)))


def resampling_notes(scenes: Scenes) -> list[str]:
    """One note for each band and grid that is resampled, with the method."""
    found: Counter[str] = Counter()
    for scene in scenes.scenes:
        bands_and_methods = [(band, band_resampling(band, scenes.resampling)) for band in scene.bands]
        if scene.quality is not None:
            bands_and_methods.append((scene.quality, "nearest"))
        for band, how in bands_and_methods:
            if pixel_offset(band.geobox, scenes.image) is None:
                found[f"{band.name} ({abs(band.geobox.resolution.x):g} in {band.geobox.crs}): resampled, {how}"] += 1
    count = len(scenes.scenes)
    return [line if times == count else f"{line}, in {times} of {count} scenes" for line, times in found.items()]
