"""Predict: imagery and a trained model in, a map out.

contract, weights   what the model takes and gives, and which weights it is    on the client, before any cluster
scenes              the imagery on the map's grid                                   on the client
receptive           how far the network looks                                  once per weights
form                how the map's file is laid out                             on the client
regions             the map's grid in large windows                            a lazy sequence
parts               one call per region: read, infer, mask, encode             streamed over the workers
seams               some pixels again with another tiling                      the proof that there is no seam
map                 COG, vectors, picture, STAC item                           on the client, atomically
"""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from swath.geo import Region, Regions, Window
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.maps.region import RegionResult
    from swath.models.contract import Contract, ModelInfo, ReceptiveField, Weights
    from swath.storage.publication import Published

log = logging.getLogger(__name__)

CHECKED = 4
"""How many windows are computed again to look for seams."""
CHECKED_EDGE = 128
"""Edge of such a window in pixels."""
BLENDED_EDGE = 1024
"""The same where tiles are blended: it has to hold borders of tiles."""
MOSAICS = {
    "first": "the first valid pixel",
    "last": "the last valid pixel",
    "least_cloud": "the valid pixel of the least cloudy scene",
    "median": "the median of the valid pixels",
}
"""What is taken where scenes overlap."""
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
    region: int | None = Field(default=None, ge=64, le=16384)
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
    return map_scenes(scenes, contract, weights, spec.model, spec.area, spec.output, spec.region)


def map_scenes(
    scenes: Any, contract: Any, weights: Any, ref: ModelRef, area: Area | None, output: Output, region: int | None
) -> Any:
    """The rest of the graph, for scenes from anywhere. The first three are what the tasks above return."""
    receptive = measure_model(weights)
    channels = count_channels(weights, contract=contract)
    model = describe_model(ref, receptive=receptive)
    regions = plan_regions(scenes, model=model, area=area, output=output, region=region)
    form = plan_map(regions, model=model, channels=channels, output=output)
    made = predict_region.map(regions, scenes=scenes, model=model, area=area, form=form)
    seams = check_seams(made, regions=regions, scenes=scenes, model=model, area=area, form=form)
    return publish_map(
        made, seams=seams, regions=regions, scenes=scenes, model=model, area=area, form=form, output=output
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
def find_imagery(
    imagery: Imagery, *, contract: Contract, area: Area | None, grid: GridSpec | None
) -> tuple[Scenes, ...]:
    """The scenes, for each grid of the map. Looks at the files or the catalogue in every run; what needs them runs again only
    when they changed."""
    from swath.imagery.sources.find import find_sheets
    from swath.maps.layout import grid_windows

    grids = find_sheets(imagery, contract.bands, area, grid)
    grid_windows(grids, area)  # an area elsewhere is an error now, before anything costs time
    for note in dict.fromkeys(note for scenes in grids for note in scenes.notes):
        log.info(note)
    return grids


@task
def measure_model(weights: Weights) -> ReceptiveField:
    """Receptive radius and total stride, measured on the network itself."""
    from swath.models.info import measure

    return measure(weights)


@task(cache=False, on_client=True)
def describe_model(model: ModelRef, *, receptive: ReceptiveField) -> ModelInfo:
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
def plan_regions(
    scenes: tuple[Scenes, ...], *, model: ModelInfo, area: Area | None, output: Output, region: int | None
) -> Regions:
    """The files of the map, and the windows of them that the calls make, with the halo that this model needs."""
    from swath.maps.layout import plan_sheets

    return plan_sheets(scenes, area, output, region, halo=model.halo, stride=model.stride)


@task(on_client=True)
def plan_map(regions: Regions, *, model: ModelInfo, channels: int, output: Output) -> MapLayout:
    """How the map's files are laid out, and in which pieces the network gets its pixels."""
    from swath.maps.layout import form_of

    return form_of(regions, model, channels, output)


@task(retries=2)
def predict_region(
    region: Region, *, scenes: tuple[Scenes, ...], model: ModelInfo, area: Area | None, form: MapLayout
) -> RegionResult:
    """One region of the map."""
    from swath.maps.region import map_region

    return map_region(region, scenes[region.grid], model, area, form)


@task
def check_seams(
    made: Sequence[RegionResult],
    *,
    regions: Regions,
    scenes: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    form: MapLayout,
) -> dict[str, Any]:
    """Compute windows that lie across the borders of regions again, each in one piece, and count the pixels that differ from
    the map. Of a model whose tiles are blended, tell as well how much their borders show (see swath.models.blend)."""
    import numpy as np

    from swath.maps.region import FileParts, agreement_in, map_strips
    from swath.models.blend import seam_excess
    from swath.models.precision import Agreement

    differing = pixels = windows = 0
    excess: list[float] = []
    agreed = Agreement(0, 0, 0.0)
    sheets = range(0, len(regions.sheets), -(-len(regions.sheets) // CHECKED))
    for sheet in sheets:
        blocks, parts = regions.sheets[sheet], FileParts.of(made, "map", regions, sheet)
        for window in blocks.samples(CHECKED // len(sheets), CHECKED_EDGE if model.lattice is None else BLENDED_EDGE):
            whole = dataclasses.replace(form, edge=max(window.shape))
            ((again, *_),) = map_strips(window, scenes[regions.grids[sheet]], model, area, whole)
            for part in parts.touching(blocks, window):
                shared = part.window.intersection(window)
                if shared is None:
                    continue
                before, now = part.read(shared), again[:, *shared.within(window)]
                same = (before == now) | (np.isnan(before) & np.isnan(now) if before.dtype.kind == "f" else False)
                differing += int((~same.all(axis=0)).sum())
                pixels += shared.height * shared.width
            windows += 1
            if model.precision != "float32":
                agreed += agreement_in(window, scenes[regions.grids[sheet]], model)
            if model.lattice is not None:
                rows, columns = (model.lattice.borders(length) for length in blocks.image.shape)
                excess.append(seam_excess(again, [r - window.row for r in rows], [c - window.col for c in columns]))
    return {
        "exact": model.exact and not differing,
        "reason": model.reason
        or ("" if not differing else "pixels differ between tilings in the last bits of the network's arithmetic"),
        "radius": model.radius,
        "stride": model.stride,
        "halo": model.halo,
        "windows": windows,
        "pixels": pixels,
        "differing": differing,
        "device": model.device,
        "precision": model.precision,
        **({"excess": mean_of(excess)} if excess else {}),
        **({"agreement": agreed.share, "compared": agreed.pixels} if agreed.pixels else {}),
    }


def mean_of(numbers: list[float]) -> float | None:
    """The mean of those that are numbers; None when there is none."""
    known = [number for number in numbers if math.isfinite(number)]
    return round(sum(known) / len(known), 3) if known else None


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.storage.publication import intact

    return intact(published)


@task(on_client=True, valid=still_there)
def publish_map(
    made: Sequence[RegionResult],
    *,
    seams: dict[str, Any],
    regions: Regions,
    scenes: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    form: MapLayout,
    output: Output,
) -> Published:
    """Write the map and what is made beside it, and put it in its place."""
    from swath.imagery.scene import all_scenes
    from swath.maps.legend import MapClass, shares
    from swath.maps.map_files import MapFiles
    from swath.maps.stac_item import ModelFacts
    from swath.models.contract_file import item_properties

    contract = model.contract
    legend = tuple(MapClass(each.value, each.name, each.color) for each in contract.classes)
    numbers = tuple(f"value-{n + 1}" for n in range(form.encoding.bands))
    files = MapFiles(
        made, regions, scenes, form, output, legend,
        bands=(contract.name,) if contract.output == "classes" else numbers,
        subtitle=f"{contract.name}, from {scenes[0].scenes[0].id}{_and_more(len(all_scenes(scenes)) - 1)}",
        model=ModelFacts(contract.name, model.path, model.sha256, ARTIFACTS[model.format], contract.bands, item_properties(contract)),
        lineage=lineage(scenes, model),
    )  # fmt: skip
    with files:
        facts = files.write()
        found = shares(legend, facts.counts)
        return files.publish(
            {
                "seams": seams,
                "shares": [dataclasses.asdict(share) for share in found],
                "numbers": {
                    "valid pixels": facts.valid,
                    **{f"{share.name} %": round(100 * share.fraction, 3) for share in found},
                    "seam differences": seams["differing"],
                },
                "valid_pixels": facts.valid,
                "megapixels": round(megapixels_of(regions), 3),
                "missing_regions": list(facts.missing),
                "input": describe_input(scenes, model, area, regions),
            }
        )


def megapixels_of(regions: Regions) -> float:
    """What all regions together cover, in millions of pixels."""
    return sum(block.window.height * block.window.width for blocks in regions.sheets for block in blocks) / 1e6


def describe_input(scenes: tuple[Scenes, ...], model: ModelInfo, area: Area | None, regions: Regions) -> dict[str, Any]:
    """What a map was made from, for its report."""
    from swath.imagery.scene import all_scenes
    from swath.storage.address import shown

    each = all_scenes(scenes)
    notes = list(dict.fromkeys(note for grid in scenes for note in grid.notes))
    return {
        "area": (area.source or "given in the spec") if area is not None else "everything that the imagery covers",
        "imagery": [f"{scene.id}{f', {scene.datetime}' if scene.datetime else ''}" for scene in each],
        "files": sorted({shown(band.href) for scene in each for band in scene.bands}),
        "bands": ", ".join(scenes[0].bands),
        "where scenes overlap": MOSAICS[scenes[0].mosaic],
        "grid": [grid_text(blocks.image, blocks.output) for blocks in regions.sheets],
        "model": f"{model.contract.name}: {model.path}",
        "weights": f"SHA-256 {model.sha256}",
        "notes": notes or "none",
    }


def grid_text(image: GeoBox, window: Window) -> str:
    """Such as `1489 x 1482 pixels of 30 in EPSG:32612`."""
    return f"{window.width} x {window.height} pixels of {abs(image.resolution.x):g} in {image.crs or 'no CRS'}"


def lineage(scenes: tuple[Scenes, ...], model: ModelInfo) -> str:
    """One sentence for the map's STAC item."""
    from swath.imagery.scene import all_scenes

    each = all_scenes(scenes)
    names = ", ".join(scene.id for scene in each[:20]) + _and_more(len(each) - 20)
    return f"{model.contract.name} (weights {model.sha256[:12]}) over {names}; {MOSAICS[scenes[0].mosaic]}"


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


@predict.planner
def plan(spec: Predict) -> dict[str, Any]:
    """What a map would take, from the headers of its imagery and the model's contract."""
    from swath.imagery.reading.mosaic import common_dtype
    from swath.imagery.scene import all_scenes
    from swath.maps.layout import plan_sheets

    contract = read_contract(spec.model)
    grids = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    regions = plan_sheets(grids, spec.area, spec.output, spec.region)
    pixels = dict.fromkeys(regions.grids, 0)
    for grid, blocks in zip(regions.grids, regions.sheets, strict=True):
        pixels[grid] += sum(block.window.height * block.window.width for block in blocks)
    layers = {grid: len(s.bands) * (len(s.scenes) if s.mosaic == "median" else 1) for grid, s in enumerate(grids)}
    total = sum(pixels.values())
    sheets = [grid_text(blocks.image, blocks.output) for blocks in regions.sheets]
    return {
        "model": f"{contract.name}: {', '.join(contract.bands)}",
        "scenes": len(all_scenes(grids)),
        "grid": sheets[0] if len(sheets) == 1 else sheets,
        "regions": len(regions),
        "region": regions.sheets[0].size,
        "megapixels": round(total / 1e6, 3),
        "read_bytes": sum(pixels[grid] * layers[grid] * common_dtype(grids[grid]).itemsize for grid in pixels),
        "map_bytes_at_most": total * (contract.channels or 1 if contract.output == "values" else 1),
        "output": spec.output.to,
    }
