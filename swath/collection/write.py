"""A collection of imagery: the files of new images, written from what was loaded, and put in their place with those kept."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from swath.collection.inventory import COLLECTION, make_collection, make_image_item, raster_name
from swath.collection.load_piece import LoadedPiece, Pieces
from swath.collection.load_plan import ImageToLoad, LoadPlan
from swath.geo import Blocks
from swath.graph.call_context import current_run, progress
from swath.maps.cog.cog import write_cog
from swath.maps.cog.encoded_part import EncodedPart
from swath.storage.durable_write import writing
from swath.storage.publication import Published, PublishedFile, Staging
from swath.version import versions

if TYPE_CHECKING:
    from pathlib import Path

    from odc.geo.geobox import GeoBox

    from swath.imagery.scene import Band
    from swath.maps.cog.cog import CogFacts
    from swath.storage.upload import Upload


@dataclass(frozen=True)
class _BandParts(Sequence[EncodedPart]):
    """The parts of one band's file among all that was loaded."""

    made: Sequence[LoadedPiece]
    places: range
    band: int

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, item: int) -> EncodedPart: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[EncodedPart]: ...
    def __getitem__(self, item: int | slice) -> EncodedPart | Sequence[EncodedPart]:
        if isinstance(item, slice):
            return _BandParts(self.made, self.places[item], self.band)
        return self.made[self.places[item]].parts[self.band]


def write_images(
    made: Sequence[LoadedPiece], loading: LoadPlan, pieces: Pieces, folder: str, identity: str
) -> Published:
    """Write the new images' files and items, and put them in their place, the collection last. An image of which a piece was set
    aside is left out: the next run loads it. Raises TaskFailed."""
    order = [loaded.image for loaded in made]
    position = {image.id: number for number, image in enumerate(pieces.images)}
    numbers = [position[each] for each in order]
    whole, lacking, lost = [], [], sum(loaded.lost for loaded in made)
    with Staging(folder, current_run() or identity) as staging:
        items = []
        for number, image in enumerate(pieces.images):
            progress(number, len(pieces.images))
            blocks = pieces.regions.sheets[number]
            places = range(bisect.bisect_left(numbers, number), bisect.bisect_right(numbers, number))
            if len(places) < len(blocks):
                lacking.append(image.id)
                continue
            items.append(_write_image(staging, image, blocks, made, places, identity))
            whole.append(image.id)
        items += [json.loads(each.item) for each in loading.kept]
        about = f"Imagery that was loaded by swath; {len(loading.held.bands)} bands in {loading.held.units}"
        _write_json(staging.folder / COLLECTION, make_collection(identity, items, loading.held, about))
        kept = [file for each in loading.kept for file in each.files]
        published = staging.publish(_about(loading, pieces, whole, lacking, lost, kept), kept)
        progress(len(pieces.images), len(pieces.images))
    return published


def _write_image(
    staging: Staging, image: ImageToLoad, blocks: Blocks, made: Sequence[LoadedPiece], places: range, collection: str
) -> dict[str, Any]:
    """The files of one image; gives its item."""
    rasters: dict[str, tuple[PublishedFile, CogFacts, Band]] = {}
    for number, (form, band) in enumerate(zip(image.encodings, image.bands, strict=True)):
        name = raster_name(image.id, band.name)
        place: Path | Upload = staging.place(name)
        facts = write_cog(
            place, _BandParts(made, places, number), blocks, form,
            band_names=(band.name, "alpha") if form.alpha else (band.name,),
            scale=band.scale if band.scale is not None else 1.0, offset=band.offset or 0.0,
        )  # fmt: skip
        (file,) = (each for each in staging.facts() if each.name == name)
        rasters[band.name] = (file, facts, band)
    lineage = f"{', '.join(scene.id for scene in image.scenes.scenes)} on pixels of {abs(image.grid.affine.a):g}"
    item = make_image_item(
        image.id, image.grid, image.scenes, image.source, rasters,
        collection=collection, software=versions(), lineage=lineage,
    )  # fmt: skip
    _write_json(staging.folder / f"{image.id}.json", item)
    return item


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with writing(path):
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _about(
    loading: LoadPlan, pieces: Pieces, whole: list[str], lacking: list[str], lost: int, kept: list[PublishedFile]
) -> dict[str, Any]:
    """For the report."""
    from swath.storage.address import redacted

    pixels = sum(image.window.height * image.window.width for image in pieces.images if image.id in whole)
    bands = [band for image in pieces.images for scene in image.scenes.scenes for band in scene.bands]
    notes = [*loading.notes]
    if lost:
        notes.append(f"{lost} valid pixels hold the number that stands for nodata in the files, and read as nodata")
    if lacking:
        notes.append(f"not loaded, for a piece failed: {', '.join(lacking)}")
    return {
        "numbers": {
            "images loaded": len(whole),
            "images kept": len(loading.kept),
            "megapixels": round(pixels / 1e6, 3),
            "bytes kept": sum(file.bytes for file in kept),
        },
        "input": {
            "imagery": whole or "nothing new",
            "kept": [each.id for each in loading.kept] or "none",
            "files": sorted({redacted(band.href) for band in bands}) or "none",
            "bands": ", ".join(loading.held.bands),
            "units": loading.held.units,
            "grid": _grid_text(loading.held.grid),
            "notes": notes or "none",
        },
    }


def _grid_text(grid: GeoBox | None) -> str:
    return "each image's own" if grid is None else f"pixels of {abs(grid.affine.a):g} in {grid.crs}"
