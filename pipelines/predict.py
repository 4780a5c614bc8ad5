"""Predict: a map from imagery and a trained model.

contract, weights   bands and classes of the model, and the digest of its weights  on the client, before any cluster
scenes              the imagery on the map's grid                                  on the client
receptive           the receptive field of the network, measured                   once for the same weights
regions             the map's grid in large windows                                a lazy sequence
choice, model       runtime and precision for all regions                          measured once for large maps
layout              sheets, encoding and tile size of the map                      on the client
results             one call per region: read, infer, mask, encode                 streamed over the workers
seams               some windows computed again in other tiles, and compared       on a worker
map                 COG, vectors, preview, STAC item                               on the client, atomically
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Imagery, is_known_by_files
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.geo import Region, Regions
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.maps.region_result import RegionResult
    from swath.models.contract import Contract, ModelInfo, ReceptiveField, Weights
    from swath.models.runtime_choice import RuntimeChoice
    from swath.storage.publication import Published

log = logging.getLogger(__name__)


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
    find = find_imagery.options(cache=is_known_by_files(spec.imagery))
    scenes = find(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    return map_scenes(scenes, contract, weights, spec.model, spec.area, spec.output, spec.region)


def map_scenes(
    scenes: Any, contract: Any, weights: Any, ref: ModelRef, area: Area | None, output: Output, region: int | None
) -> Any:
    """The rest of the graph, for scenes of any source. The first three arguments are results of tasks: refs, not values."""
    receptive = measure_model(weights)
    channels = count_channels(weights, contract=contract)
    described = describe_model(ref, receptive=receptive)
    regions = plan_regions(scenes, model=described, area=area, output=output, region=region)
    choice = choose_runtime(
        described, regions=regions, scenes=scenes, runtime=ref.runtime, precision=ref.precision, agreement=ref.agreement
    )
    model = apply_choice(described, choice=choice)
    layout = plan_map(regions, model=model, channels=channels, output=output)
    results = predict_region.map(regions, scenes=scenes, model=model, area=area, layout=layout)
    seams = check_seams(results, regions=regions, scenes=scenes, model=model, area=area, layout=layout, choice=choice)
    return publish_map(
        results, seams=seams, regions=regions, scenes=scenes, model=model, area=area, layout=layout, output=output
    )


@task(cache=False, on_client=True)
def read_contract(model: ModelRef) -> Contract:
    """The model's contract: bands, classes, scaling. The file is read in every run."""
    from swath.models.info import contract_of

    return contract_of(model)


@task(cache=False, on_client=True)
def read_weights(model: ModelRef) -> Weights:
    """Path, format and digest of the weights. The file is read in every run."""
    from swath.models.info import weights_of

    return weights_of(model)


@task(cache=False, on_client=True)
def find_imagery(
    imagery: Imagery, *, contract: Contract, area: Area | None, grid: GridSpec | None
) -> tuple[Scenes, ...]:
    """The scenes of each grid of the map. A catalogue, and images elsewhere, are read in every run; tasks that depend on the scenes
    run again only when these have changed."""
    from swath.imagery.sources.find import find_sheets
    from swath.imagery.sources.scene_units import check_units
    from swath.maps.layout import grid_windows
    from swath.maps.resolution import with_resolution_notes

    grids = find_sheets(imagery, contract.bands, area, grid)
    check_units(grids, physical=contract.units == "reflectance")
    grid_windows(grids, area)  # an area outside of the imagery is an error now, before any other call
    for note in dict.fromkeys(note for scenes in grids for note in scenes.notes):
        log.info(note)
    return with_resolution_notes(grids, contract)


@task(light=True)
def measure_model(weights: Weights) -> ReceptiveField:
    """Receptive radius and total stride, measured on the network, once for all projects of a user."""
    from swath.models.measurements import measure_once

    return measure_once(weights)


@task(cache=False, on_client=True)
def describe_model(model: ModelRef, *, receptive: ReceptiveField) -> ModelInfo:
    """The facts on the model that the calls need."""
    from swath.models.info import describe

    return describe(model, receptive)


@task(light=True)
def count_channels(weights: Weights, *, contract: Contract) -> int:
    """Output channels of the network."""
    if contract.output == "classes":
        return 1 if contract.threshold is not None else len(contract.classes)
    if contract.channels is not None:
        return contract.channels
    from swath.models.info import measure_channels

    return measure_channels(weights)


@task(light=True)
def choose_runtime(
    model: ModelInfo, *, regions: Regions, scenes: tuple[Scenes, ...], runtime: Any, precision: Any, agreement: float
) -> RuntimeChoice:
    """Library and precision for all regions, measured on a machine that does the work where the spec leaves the choice."""
    from swath.maps.runtime_sample import read_sample
    from swath.models.runtime_choice import RuntimeRequest, needs_sample
    from swath.models.runtime_choice import choose_runtime as choose

    request = RuntimeRequest(runtime, precision, agreement)
    sample = read_sample(regions, scenes, model) if needs_sample(model, request, regions.megapixels) else None
    choice = choose(model, request, regions.megapixels, sample)
    if sample is not None:
        log.info("runtime %s, %s%s", choice.runtime, choice.precision, f": {choice.reason}" if choice.reason else "")
    return choice


@task(on_client=True)
def apply_choice(model: ModelInfo, *, choice: RuntimeChoice) -> ModelInfo:
    """The model with the runtime and precision of this run."""
    return choice.applied(model)


@task(on_client=True)
def plan_regions(
    scenes: tuple[Scenes, ...], *, model: ModelInfo, area: Area | None, output: Output, region: int | None
) -> Regions:
    """Sheets of the map and their regions, with the halo that this model needs."""
    from swath.maps.layout import plan_sheets

    return plan_sheets(scenes, area, output, region, halo=model.halo, stride=model.stride)


@task(on_client=True)
def plan_map(regions: Regions, *, model: ModelInfo, channels: int, output: Output) -> MapLayout:
    """Encoding of the map's files, and the tiles for the network."""
    from swath.maps.layout import model_layout

    return model_layout(regions, model, channels, output)


@task(retries=2, light=True)
def predict_region(
    region: Region, *, scenes: tuple[Scenes, ...], model: ModelInfo, area: Area | None, layout: MapLayout
) -> RegionResult:
    """Compute one region of the map."""
    from swath.maps.region import map_region

    return map_region(region, scenes[region.grid], model, area, layout)


@task(light=True)
def check_seams(
    results: Sequence[RegionResult],
    *,
    regions: Regions,
    scenes: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    layout: MapLayout,
    choice: RuntimeChoice,
) -> dict[str, Any]:
    """Compute windows across the borders of regions again and compare them with the map (see swath.maps.seams)."""
    from swath.maps import seams

    return seams.check_seams(results, regions, scenes, model, area, layout).certificate(model, choice.reason)


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def publish_map(
    results: Sequence[RegionResult],
    *,
    seams: dict[str, Any],
    regions: Regions,
    scenes: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    layout: MapLayout,
    output: Output,
) -> Published:
    """Write the map and the files beside it, and publish them together."""
    from swath.maps.prediction import publish_prediction

    return publish_prediction(results, regions, scenes, model, area, layout, output, seams)


@predict.planner
def plan(spec: Predict) -> dict[str, Any]:
    """What a map would take, from the headers of its imagery and the model's contract."""
    from swath.imagery.sources.scene_checks import check_files
    from swath.maps.layout import plan_sheets
    from swath.maps.prediction import estimate
    from swath.models.info import check_weights

    contract = read_contract(spec.model)
    check_weights(spec.model)
    grids = find_imagery(spec.imagery, contract=contract, area=spec.area, grid=spec.grid)
    check_files(grids)
    return estimate(contract, grids, plan_sheets(grids, spec.area, spec.output, spec.region), spec.output)
