"""Writes a collection: the COGs and STAC items of new images, published together with the images that stay."""

from __future__ import annotations

import bisect
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from swath.collection.inventory import COLLECTION, make_collection, make_image_item, raster_name
from swath.collection.load_piece import LoadedPiece, Pieces
from swath.collection.load_plan import ImageToLoad, LoadPlan
from swath.errors import TaskFailed
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


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _BandParts(Sequence[EncodedPart]):
    """A lazy sequence: the parts of one band's file, taken from the loaded pieces when they are accessed."""

    loaded: Sequence[LoadedPiece]
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
            return _BandParts(self.loaded, self.places[item], self.band)
        return self.loaded[self.places[item]].parts[self.band]


def write_images(
    loaded: Sequence[LoadedPiece], plan: LoadPlan, pieces: Pieces, folder: str, identity: str
) -> Published:
    """Write the new images' files and items, and publish them, the collection last. An image with a piece that failed is left out:
    the next run loads it. Raises TaskFailed."""
    image_ids = [piece.image for piece in loaded]
    number_of = {image.id: number for number, image in enumerate(pieces.images)}
    numbers = [number_of[each] for each in image_ids]
    empty: list[str] = []
    complete, incomplete, lost = [], [], sum(piece.lost for piece in loaded)
    with Staging(folder, current_run() or identity) as staging:
        items = []
        for number, image in enumerate(pieces.images):
            progress(number, len(pieces.images))
            blocks = pieces.regions.sheets[number]
            places = range(bisect.bisect_left(numbers, number), bisect.bisect_right(numbers, number))
            if len(places) < len(blocks):
                incomplete.append(image.id)
                continue
            item, valid = _write_image(staging, image, blocks, loaded, places, identity)
            items.append(item)
            complete.append(image.id)
            if not valid:
                empty.append(image.id)
        if empty:
            log.warning("%d of %d images have no valid pixel: %s", len(empty), len(complete), ", ".join(empty[:20]))
        if empty and len(empty) == len(items) and not plan.kept:
            raise TaskFailed(
                f"no image has a valid pixel ({len(empty)} were read)",
                remedy="Check the area, nodata and imagery.mask. Nothing was published.",
            )
        items += [json.loads(each.item) for each in plan.kept]
        about = f"Imagery that was loaded by swath; {len(plan.inventory.bands)} bands in {plan.inventory.units}"
        _write_json(staging.folder / COLLECTION, make_collection(identity, items, plan.inventory, about))
        kept = [file for each in plan.kept for file in each.files]
        published = staging.publish(_about(plan, pieces, complete, incomplete, lost, kept), kept)
        progress(len(pieces.images), len(pieces.images))
    return published


def _write_image(
    staging: Staging,
    image: ImageToLoad,
    blocks: Blocks,
    loaded: Sequence[LoadedPiece],
    places: range,
    collection: str,
) -> tuple[dict[str, Any], bool]:
    """Write the files of one image and its item; returns the item, and whether the image has a valid pixel."""
    rasters: dict[str, tuple[PublishedFile, CogFacts, Band]] = {}
    for number, (encoding, band) in enumerate(zip(image.encodings, image.bands, strict=True)):
        name = raster_name(image.id, band.name)
        place: Path | Upload = staging.destination(name)
        facts = write_cog(
            place, _BandParts(loaded, places, number), blocks, encoding,
            band_names=(band.name, "alpha") if encoding.alpha else (band.name,),
            scale=band.scale if band.scale is not None else 1.0, offset=band.offset or 0.0,
        )  # fmt: skip
        (file,) = (each for each in staging.files() if each.name == name)
        rasters[band.name] = (file, facts, band)
    lineage = f"{', '.join(scene.id for scene in image.scenes.scenes)} on pixels of {abs(image.grid.affine.a):g}"
    item = make_image_item(
        image.id, image.grid, image.scenes, image.source, rasters,
        collection=collection, software=versions(), lineage=lineage,
    )  # fmt: skip
    _write_json(staging.folder / f"{image.id}.json", item)
    return item, any(facts.valid for _, facts, _ in rasters.values())


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with writing(path):
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _about(
    plan: LoadPlan, pieces: Pieces, complete: list[str], incomplete: list[str], lost: int, kept: list[PublishedFile]
) -> dict[str, Any]:
    """Plain values for the report."""
    from swath.storage.address import redacted

    pixels = sum(image.window.height * image.window.width for image in pieces.images if image.id in complete)
    bands = [band for image in pieces.images for scene in image.scenes.scenes for band in scene.bands]
    notes = [*plan.notes]
    if lost:
        notes.append(f"{lost} valid pixels hold the number that stands for nodata in the files, and read as nodata")
    if incomplete:
        notes.append(f"not loaded, because a piece failed: {', '.join(incomplete)}")
    return {
        "numbers": {
            "images loaded": len(complete),
            "images kept": len(plan.kept),
            "megapixels": round(pixels / 1e6, 3),
            "bytes kept": sum(file.bytes for file in kept),
        },
        "input": {
            "imagery": complete or "nothing new",
            "kept": [each.id for each in plan.kept] or "none",
            "files": sorted({redacted(band.href) for band in bands}) or "none",
            "bands": ", ".join(plan.inventory.bands),
            "units": plan.inventory.units,
            "grid": _grid_text(plan.inventory.grid),
            "notes": notes or "none",
        },
    }


def _grid_text(grid: GeoBox | None) -> str:
    return "each image's own" if grid is None else f"pixels of {abs(grid.affine.a):g} in {grid.crs}"
