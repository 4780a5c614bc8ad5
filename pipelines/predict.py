"""Predict: imagery and a trained model in, a map out.

contract, weights   what the model takes and gives, and which weights it is    on the client, before any cluster
scenes              the imagery on one grid                                    on the client
receptive           how far the network looks                                  once per weights
form                how the map's file is laid out                             on the client
regions             the map's grid in large windows                            a lazy sequence
parts               one call per region: read, infer, mask, encode             streamed over the workers
seams               some pixels again with another tiling                      the proof that there is no seam
map                 COG, vectors, picture, STAC item                           on the client, atomically
"""

from __future__ import annotations

import bisect
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from swath.graph.current import current_run, progress
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields import Area, GridSpec, Imagery, ModelRef, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.geo import Block, Blocks, Window
    from swath.imagery.part import Part
    from swath.imagery.publication import Published
    from swath.imagery.scene import Scenes
    from swath.models.contract import Contract, ModelInfo, Receptive, Weights
    from swath.region import Form, Made

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
    region: int | None = Field(None, ge=64, le=16384)
    """Edge of the regions, each made by one call, in pixels; a multiple of output.blocksize. From the map's size when not
    given. The map does not depend on it; how finely a run is spread, and what a crash costs, does."""

    @model_validator(mode="after")
    def _whole_tiles(self) -> Predict:
        if self.region is not None and self.region % self.output.blocksize:
            raise ValueError(f"region: {self.region} is not a multiple of output.blocksize, {self.output.blocksize}")
        return self


@pipeline
def predict(spec: Predict) -> Any:
    """Segment an area with a trained model and publish the map."""
    contract = read_contract(spec.model)
    weights = read_weights(spec.model)
    scenes = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    receptive = measure_model(weights)
    channels = count_channels(weights, contract=contract)
    model = describe_model(spec.model, receptive=receptive)
    form = plan_map(scenes, model=model, channels=channels, area=spec.area, output=spec.output, region=spec.region)
    regions = plan_regions(scenes, model=model, area=spec.area, output=spec.output, region=spec.region)
    parts = predict_region.map(regions, scenes=scenes, model=model, area=spec.area, form=form)
    seams = check_seams(parts, regions=regions, scenes=scenes, model=model, area=spec.area, form=form)
    return publish_map(
        parts, seams=seams, regions=regions, scenes=scenes, model=model, area=spec.area, form=form, output=spec.output
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


@task
def count_channels(weights: Weights, *, contract: Contract) -> int:
    """How many numbers the network gives for a pixel."""
    if contract.output == "classes":
        return 1 if contract.threshold is not None else len(contract.classes)
    if contract.channels is not None:
        return contract.channels
    from swath.models.info import channels_of

    return channels_of(weights)


@task(on_client=True)
def plan_map(
    scenes: Scenes, *, model: ModelInfo, channels: int, area: Area | None, output: Output, region: int | None
) -> Form:
    """How the map's file is laid out, and in which pieces the network gets its pixels."""
    from swath.imagery.encoding import Encoding
    from swath.imagery.grid import output_window
    from swath.imagery.part import levels_of
    from swath.imagery.tiff import level_shapes
    from swath.models.probabilities import probability_layers
    from swath.region import Form, piece_edge, region_edge

    contract, size = model.contract, output.blocksize
    classes = contract.output == "classes"
    encoding = Encoding(
        contract.dtype, contract.nodata, 1 if classes else channels, classes and bool(contract.classes), size
    )
    window = output_window(scenes.image, area)
    edge = region or region_edge(window, size)
    levels = levels_of(edge, size, len(level_shapes(*window.shape, size)))
    layers = probability_layers(contract, output.probabilities) if output.probabilities else None
    return Form(encoding, levels, piece_edge(model, edge, size), layers)


@task(on_client=True)
def plan_regions(scenes: Scenes, *, model: ModelInfo, area: Area | None, output: Output, region: int | None) -> Blocks:
    """The windows that the calls make, with the halo that this model needs."""
    from swath.geo import Blocks
    from swath.imagery.grid import output_window, wanted_blocks
    from swath.region import region_edge

    window = output_window(scenes.image, area)
    edge = region or region_edge(window, output.blocksize)
    return wanted_blocks(Blocks(scenes.image, window, edge, model.halo, model.stride), area)


@task(retries=2)
def predict_region(region: Block, *, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form) -> Made:
    """One region of the map."""
    from swath.region import map_region

    return map_region(region, scenes, model, area, form)


@task
def check_seams(
    parts: Sequence[Made], *, regions: Blocks, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form
) -> dict[str, Any]:
    """Compute windows that lie across the borders of regions again, each in one piece, and count the pixels that differ from
    the map."""
    import numpy as np

    from swath.region import map_strips

    differing = pixels = windows = 0
    for window in regions.samples(CHECKED, CHECKED_EDGE):
        ((again, *_),) = map_strips(window, scenes, model, area, dataclasses.replace(form, edge=max(window.shape)))
        for part in parts_in(parts, regions, window):
            shared = part.window.intersection(window)
            if shared is None:
                continue
            before, now = part.read(shared), again[:, *shared.within(window)]
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
        "halo": regions.halo,
        "windows": windows,
        "pixels": pixels,
        "differing": differing,
    }


def parts_in(made: Sequence[Made], regions: Blocks, window: Window) -> list[Part]:
    """The map's parts that touch `window`. They come in the order of their index, and some may have been set aside."""
    found = []
    for index in regions.touching(window):
        place = bisect.bisect_left(made, index, key=lambda each: each.index)
        if place < len(made) and made[place].index == index:
            found.append(made[place].map)
    return found


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.imagery.publication import intact

    return intact(published)


@task(on_client=True, valid=still_there)
def publish_map(
    parts: Sequence[Made],
    *,
    seams: dict[str, Any],
    regions: Blocks,
    scenes: Scenes,
    model: ModelInfo,
    area: Area | None,
    form: Form,
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
    from swath.region import Parts

    contract = model.contract
    legend = tuple(MapClass(each.value, each.name, each.color) for each in contract.classes)
    name = output.to.rstrip("/").rpartition("/")[2]
    bands = (
        (contract.name,)
        if contract.output == "classes"
        else tuple(f"value-{n + 1}" for n in range(form.encoding.bands))
    )
    with Staging(output.to, current_run() or name) as staging:
        progress(0, 4)
        facts = write_cog(
            staging.folder / "map.tif", Parts(parts, "map"), regions, form.encoding, classes=legend, band_names=bands
        )
        if form.layers is not None:
            write_cog(
                staging.folder / "probabilities.tif", Parts(parts, "probabilities"), regions, form.encodings[1],
                band_names=form.layers.names, scale=form.layers.scale,
            )  # fmt: skip
        progress(1, 4)
        if output.vectors and legend:
            write_vectors(staging.folder / "map.parquet", staging.folder / "map.tif", legend, output.vectors)
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
            staging.folder / MANIFEST, name, regions.image[regions.output.roi], facts, staging.facts(), scenes.scenes,
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
                "missing_regions": list(facts.missing),
                "input": describe_input(scenes, model, area, regions),
            }
        )
        progress(4, 4)
    return published


def describe_input(scenes: Scenes, model: ModelInfo, area: Area | None, regions: Blocks) -> dict[str, Any]:
    """What a map was made from, for its report."""
    from swath.imagery.raster import shown

    grid, window = regions.image, regions.output
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
    from swath.region import region_edge

    contract = read_contract(spec.model)
    scenes = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    window = output_window(scenes.image, spec.area)
    edge = spec.region or region_edge(window, spec.output.blocksize)
    regions = wanted_blocks(Blocks(scenes.image, window, edge, 0, 1), spec.area)
    pixels = sum(region.window.height * region.window.width for region in regions)
    layers = len(scenes.bands) * (len(scenes.scenes) if scenes.mosaic == "median" else 1)
    return {
        "model": f"{contract.name}: {', '.join(contract.bands)}",
        "scenes": len(scenes.scenes),
        "grid": f"{window.width} x {window.height} pixels of {abs(scenes.image.resolution.x):g} in {scenes.image.crs}",
        "regions": len(regions),
        "region": edge,
        "megapixels": round(pixels / 1e6, 3),
        "read_bytes": pixels * layers * common_dtype(scenes).itemsize,
        "map_bytes_at_most": pixels * (contract.channels or 1 if contract.output == "values" else 1),
        "output": spec.output.to,
    }
