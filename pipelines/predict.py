"""Predict: imagery and a trained model in, a map out.

contract, weights   what the model takes and gives, and which weights it is    on the client, before any cluster
scenes              the imagery on one grid                                    on the client
receptive           how far the network looks                                  once per weights
blocks              the map's grid in windows with halo                        a lazy sequence
parts               one call per block: read, infer, mask                      streamed over the workers
seams               some pixels again with another tiling                      the proof that there is no seam
map                 COG, vectors, picture, STAC item                           on the client, atomically
"""

from __future__ import annotations

import bisect
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from pydantic import Field

from swath.graph.current import current_run, progress
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields import Area, GridSpec, Imagery, ModelRef, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from swath.geo import Block, Blocks, Window
    from swath.imagery.part import Part
    from swath.imagery.publication import Published
    from swath.imagery.scene import Scenes
    from swath.models.contract import Contract, ModelInfo, Receptive, Weights

log = logging.getLogger(__name__)

CHECKED = 4
"""How many windows are computed again to look for seams."""
CHECKED_EDGE = 128
"""Edge of such a window in pixels."""
ARTIFACTS = {"pt2": "torch.export.save", "torchscript": "torch.jit.save", "onnx": "onnx", "safetensors": "safetensors"}
"""How the STAC extension for models calls the formats of weights."""


class Predict(Spec):
    """Segment an area with a trained model and publish the map."""

    imagery: Imagery
    """What to read: raster files, or STAC items."""
    model: ModelRef
    """The trained model: a file with its contract beside it."""
    output: Output
    """Folder of the map, and what is made beside it."""
    area: Area | None = None
    """Where to map; everything that the imagery covers when not given."""
    grid: GridSpec | None = None
    """The map's grid; the imagery's own when not given."""
    block_size: int = Field(1024, ge=64, le=16384)
    """Edge of the windows in which the map is computed, in pixels. The map does not depend on it; memory does."""


@pipeline
def predict(spec: Predict) -> Any:
    """Segment an area with a trained model and publish the map."""
    contract = read_contract(spec.model)
    weights = read_weights(spec.model)
    scenes = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    receptive = measure_model(weights)
    model = describe_model(spec.model, receptive=receptive)
    blocks = plan_blocks(scenes, model=model, area=spec.area, size=spec.block_size)
    parts = predict_block.map(blocks, scenes=scenes, model=model, area=spec.area)
    seams = check_seams(parts, blocks=blocks, scenes=scenes, model=model, area=spec.area)
    return publish_map(
        parts, seams=seams, blocks=blocks, scenes=scenes, model=model, area=spec.area, output=spec.output
    )


@task(cache=False, on_client=True)
def read_contract(model: ModelRef) -> Contract:
    """What the model takes and gives. Looks at the file in every run."""
    from swath.models.info import contract_of

    return contract_of(model)


@task(cache=False, on_client=True)
def read_weights(model: ModelRef) -> Weights:
    """Which weights these are. Looks at the file in every run."""
    from swath.models.info import fingerprint

    return fingerprint(model)


@task(cache=False, on_client=True)
def find_imagery(imagery: Imagery, *, contract: Contract, area: Area | None, grid: GridSpec | None) -> Scenes:
    """The scenes on one grid. Looks at the files or the catalogue in every run; what needs them runs again only when they changed."""
    from swath.imagery.find import find
    from swath.imagery.grid import output_window

    scenes = find(imagery, contract.bands, area, grid)
    output_window(scenes.image, area)  # an area elsewhere is an error now, before anything costs time
    for note in scenes.notes:
        log.info(note)
    return scenes


@task
def measure_model(weights: Weights) -> Receptive:
    """Receptive radius and total stride, measured on the network itself."""
    from swath.models.info import measure

    return measure(weights)


@task(cache=False, on_client=True)
def describe_model(model: ModelRef, *, receptive: Receptive) -> ModelInfo:
    """Everything that a call needs to know of the model."""
    from swath.models.info import describe

    return describe(model, receptive)


@task(on_client=True)
def plan_blocks(scenes: Scenes, *, model: ModelInfo, area: Area | None, size: int) -> Blocks:
    """The windows in which the map is computed, with the halo that this model needs."""
    from swath.geo import Blocks
    from swath.imagery.grid import output_window, wanted_blocks

    window = output_window(scenes.image, area)
    return wanted_blocks(Blocks(scenes.image, window, size, model.halo, model.stride), area)


@task(retries=2)
def predict_block(block: Block, *, scenes: Scenes, model: ModelInfo, area: Area | None) -> Part:
    """One block of the map."""
    from swath.imagery.part import Part

    pixels, valid = map_pixels(block, scenes, model, area)
    progress(pixels=block.window.height * block.window.width)
    return Part.pack(block.index, block.window, pixels, int(valid.sum()))


def map_pixels(
    block: Block, scenes: Scenes, model: ModelInfo, area: Area | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The map in `block.window`: pixels (bands, height, width) in the contract's dtype with nodata in place, and (height, width)
    where they are valid."""
    from swath.imagery.grid import area_mask
    from swath.imagery.read import read
    from swath.models.infer import infer
    from swath.models.load import load

    contract = model.contract
    pixels, usable = read(scenes, block.source, reflectance=contract.units == "reflectance")
    mapped, valid = infer(load(model), model, pixels, usable, block.source, block.window)
    if area is not None:
        valid &= area_mask(area, scenes.image, block.window)
        mapped[:, ~valid] = contract.nodata
    return mapped, valid


@task
def check_seams(
    parts: Sequence[Part], *, blocks: Blocks, scenes: Scenes, model: ModelInfo, area: Area | None
) -> dict[str, Any]:
    """Compute windows that lie across block borders again, each in one piece, and count the pixels that differ from the map."""
    import numpy as np

    from swath.geo import Blocks

    pixels = differing = windows = 0
    for window in blocks.samples(CHECKED, CHECKED_EDGE):
        (block,) = Blocks(blocks.image, window, max(window.shape), blocks.halo, blocks.stride)
        again, _ = map_pixels(block, scenes, model, area)
        for part in parts_in(parts, blocks, window):
            shared = part.window.intersection(window)
            if shared is None:
                continue
            before, now = part.pixels()[:, *shared.within(part.window)], again[:, *shared.within(window)]
            same = (before == now) | (np.isnan(before) & np.isnan(now) if before.dtype.kind == "f" else False)
            differing += int((~same.all(axis=0)).sum())
            pixels += shared.height * shared.width
        windows += 1
    return {
        "exact": model.exact and not differing,
        "reason": model.reason
        or ("" if not differing else "pixels differ between tilings in the last bits of the network's arithmetic"),
        "radius": model.radius,
        "stride": model.stride,
        "halo": blocks.halo,
        "windows": windows,
        "pixels": pixels,
        "differing": differing,
    }


def parts_in(parts: Sequence[Part], blocks: Blocks, window: Window) -> list[Part]:
    """The parts that touch `window`. Parts come in the order of their index, and some may have been set aside."""
    found = []
    for index in blocks.touching(window):
        place = bisect.bisect_left(parts, index, key=lambda part: part.index)
        if place < len(parts) and parts[place].index == index:
            found.append(parts[place])
    return found


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.imagery.publication import intact

    return intact(published)


@task(on_client=True, valid=still_there)
def publish_map(
    parts: Sequence[Part],
    *,
    seams: dict[str, Any],
    blocks: Blocks,
    scenes: Scenes,
    model: ModelInfo,
    area: Area | None,
    output: Output,
) -> Published:
    """Write the map and what is made beside it, and put it in its place."""
    from swath.imagery.cog import write_cog
    from swath.imagery.legend import MapClass, shares
    from swath.imagery.map_item import ModelFacts, write_item, write_model_item
    from swath.imagery.preview import write_preview
    from swath.imagery.publication import MANIFEST, Staging
    from swath.imagery.vectors import write_vectors
    from swath.models.contract_file import item_properties
    from swath.provenance import versions

    contract = model.contract
    legend = tuple(MapClass(each.value, each.name, each.color) for each in contract.classes)
    name = output.to.rstrip("/").rpartition("/")[2]
    bands = (contract.name,) if contract.output == "classes" else tuple(f"value-{n + 1}" for n in range(parts[0].bands))
    with Staging(output.to, current_run() or name) as staging:
        progress(0, 4)
        facts = write_cog(
            staging.folder / "map.tif", parts, blocks, dtype=contract.dtype, nodata=contract.nodata, classes=legend,
            band_names=bands,
        )  # fmt: skip
        progress(1, 4)
        if output.vectors and legend:
            write_vectors(
                staging.folder / "map.parquet", staging.folder / "map.tif", legend, background=output.background
            )
        progress(2, 4)
        if output.preview:
            write_preview(
                staging.folder / "preview.png", staging.folder / "map.tif", legend, name,
                subtitle=f"{contract.name}, from {scenes.scenes[0].id}{_and_more(len(scenes.scenes) - 1)}", counts=facts.counts,
            )  # fmt: skip
        progress(3, 4)
        write_model_item(
            staging.folder / "model.json",
            ModelFacts(contract.name, model.path, model.sha256, ARTIFACTS[model.format], contract.bands, item_properties(contract)),
        )  # fmt: skip
        write_item(
            staging.folder / MANIFEST, name, blocks.image[blocks.output.roi], facts, staging.facts(), scenes.scenes,
            classes=legend, software=versions(), model="model.json",
            lineage=lineage(scenes, model),
        )  # fmt: skip
        found = shares(legend, facts.counts)
        published = staging.publish(
            {
                "seams": seams,
                "shares": [dataclasses.asdict(share) for share in found],
                "numbers": {
                    "valid pixels": facts.valid,
                    **{f"{share.name} %": round(100 * share.fraction, 3) for share in found},
                    "seam differences": seams["differing"],
                },
                "valid_pixels": facts.valid,
                "missing_blocks": list(facts.missing),
                "input": describe_input(scenes, model, area, blocks),
            }
        )
        progress(4, 4)
    return published


def describe_input(scenes: Scenes, model: ModelInfo, area: Area | None, blocks: Blocks) -> dict[str, Any]:
    """What a map was made from, for its report."""
    from swath.imagery.raster import shown

    grid, window = blocks.image, blocks.output
    return {
        "area": (area.source or "given in the spec") if area is not None else "everything that the imagery covers",
        "imagery": [f"{scene.id}{f', {scene.datetime}' if scene.datetime else ''}" for scene in scenes.scenes],
        "files": sorted({shown(band.href) for scene in scenes.scenes for band in scene.bands}),
        "bands": ", ".join(scenes.bands),
        "where scenes overlap": f"the {scenes.mosaic} valid pixel"
        if scenes.mosaic != "median"
        else "the median of the valid pixels",
        "grid": f"{window.width} x {window.height} pixels of {abs(grid.resolution.x):g} in {grid.crs or 'no CRS'}",
        "model": f"{model.contract.name}: {model.path}",
        "weights": f"SHA-256 {model.sha256}",
        "notes": list(scenes.notes) or "none",
    }


def lineage(scenes: Scenes, model: ModelInfo) -> str:
    """One sentence for the map's STAC item."""
    names = ", ".join(scene.id for scene in scenes.scenes[:20]) + _and_more(len(scenes.scenes) - 20)
    return f"{model.contract.name} (weights {model.sha256[:12]}) over {names}; {scenes.mosaic} valid pixel"


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


@predict.planner
def plan(spec: Predict) -> dict[str, Any]:
    """What a map would take, from the headers of its imagery and the model's contract."""
    from swath.geo import Blocks
    from swath.imagery.grid import output_window, wanted_blocks
    from swath.imagery.read import common_dtype

    contract = read_contract(spec.model)
    scenes = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    window = output_window(scenes.image, spec.area)
    blocks = wanted_blocks(Blocks(scenes.image, window, spec.block_size, 0, 1), spec.area)
    pixels = sum(block.window.height * block.window.width for block in blocks)
    layers = len(scenes.bands) * (len(scenes.scenes) if scenes.mosaic == "median" else 1)
    return {
        "model": f"{contract.name}: {', '.join(contract.bands)}",
        "scenes": len(scenes.scenes),
        "grid": f"{window.width} x {window.height} pixels of {abs(scenes.image.resolution.x):g} in {scenes.image.crs}",
        "blocks": len(blocks),
        "block_size": spec.block_size,
        "megapixels": round(pixels / 1e6, 3),
        "read_bytes": pixels * layers * common_dtype(scenes).itemsize,
        "map_bytes_at_most": pixels * (contract.channels or 1 if contract.output == "values" else 1),
        "output": spec.output.to,
    }
