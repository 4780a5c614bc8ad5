"""Evaluate: a model or a finished map scored against labels, in one confusion matrix over the whole area.

contract, weights   what the model takes and gives, and which weights it is       on the client
scoring input       labels on the pixels of imagery or map, and the split         on the client
regions             the pixels in large windows                                   a lazy sequence
scored              one call per region: predict or read, compare, count          streamed over the workers
scores              matrix, intervals, error map, page                            on the client, atomically
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.pipelines.predict import count_channels, describe_model, measure_model, read_contract, read_weights
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.labels import LabelClass, LabelledData, Labels
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Destination, Output, Probabilities
from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import SpecModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.evaluation.scoring import RegionScores
    from swath.evaluation.scoring_input import ScoringInput
    from swath.geo import Region, Regions
    from swath.maps.layout import MapLayout
    from swath.models.contract import Contract, ModelInfo
    from swath.storage.publication import Published

log = logging.getLogger(__name__)

BLOCKSIZE: Literal[512] = 512
"""Edge of the tiles of the error map, in pixels."""


class ObjectScoring(SpecModel):
    """Classes whose objects are counted as well."""

    classes: tuple[str, ...] = Field(min_length=1)
    """Names of the classes."""
    iou: float = Field(default=0.5, gt=0, le=1)
    """The intersection over union from which two objects match."""


class Evaluate(Spec):
    """Score a model or a finished map against labels."""

    output: Destination
    """Folder of the scores and the error map."""
    model: ModelRef | None = None
    """The model to score, on the imagery of `data`. Give this or `map`."""
    data: LabelledData | None = None
    """Imagery with labels, for a model. Scenes of one entry are mosaicked as predict does."""
    map: InputPath | None = None
    """The finished map to score, on its own pixels: a folder that predict wrote, or a raster of classes. Give this or `model`."""
    labels: Labels | None = None
    """For a map."""
    classes: tuple[LabelClass, ...] = ()
    """For a raster that does not name its classes: the n-th is that of value n, from 0 on."""
    area: Area | None = None
    """Where to score; everywhere that has labels when not given."""
    grid: GridSpec | None = None
    """For a model: the grid on which it predicts, as in predict; that of the imagery when not given. Labels are read on it, too."""
    split: Literal["validation", "test"] | None = None
    """Score only this split of the model's training, which its contract describes."""
    objects: ObjectScoring | None = None
    """Also count objects."""
    calibration: bool = True
    """Also compare the model's probabilities with its accuracy."""
    block_m: float | None = Field(default=None, gt=0)
    """Edge, in metres, of the blocks that the intervals are resampled from; about 64 blocks when not given. They should be larger than
    the distance over which errors are correlated."""
    draws: int = Field(default=1000, ge=100, le=100_000)
    """How often the blocks are resampled."""
    seed: int = 0
    """Of the resampling."""
    region: int | None = Field(default=None, ge=64, le=16384)
    """Edge of the regions, each scored by one call, in pixels; a multiple of 512. The scores do not depend on it."""

    @model_validator(mode="after")
    def _model_or_map(self) -> Evaluate:
        if (self.model is None) == (self.map is None):
            raise ValueError("give either model (with data) or map (with labels)")
        if self.model is not None and (self.data is None or self.labels is not None):
            raise ValueError("a model needs data: imagery with labels, and no labels beside it")
        if self.map is not None and (self.labels is None or self.data is not None):
            raise ValueError("a map needs labels, and no data: it is scored on its own pixels")
        if self.map is not None and self.split is not None:
            raise ValueError("split: a map does not say how its model was trained; give an area")
        if self.map is not None and self.grid is not None:
            raise ValueError("grid: a map is scored on its own pixels; give a grid with a model only")
        if self.grid is not None and self.grid.zones:
            raise ValueError("grid: zones make several grids; give grid.crs, or evaluate each zone's area by itself")
        if self.region is not None and self.region % BLOCKSIZE:
            raise ValueError(f"region: {self.region} is not a multiple of {BLOCKSIZE}")
        return self


@pipeline
def evaluate(spec: Evaluate) -> Any:
    """Score a model or a finished map against labels."""
    if spec.model is not None:
        contract = read_contract(spec.model)
        weights = read_weights(spec.model)
        scoring_input = find_model_scoring(
            spec.data, contract=contract, area=spec.area, split=spec.split, block_m=spec.block_m, grid=spec.grid
        )
        receptive = measure_model(weights)
        channels = count_channels(weights, contract=contract)
        model = describe_model(spec.model, receptive=receptive)
        regions = plan_regions(scoring_input, model=model, region=spec.region)
        layout = plan_prediction(regions, model=model, channels=channels, calibration=spec.calibration)
        errors = plan_errors(regions)
        scored = score_region.map(regions, scoring_input=scoring_input, model=model, errors=errors, layout=layout)
    else:
        scoring_input = find_map_scoring(
            spec.map, labels=spec.labels, classes=spec.classes, area=spec.area, block_m=spec.block_m
        )
        regions = plan_regions(scoring_input, model=None, region=spec.region)
        errors = plan_errors(regions)
        scored = score_map_region.map(regions, scoring_input=scoring_input, errors=errors)
    return publish_scores(
        scored, scoring_input=scoring_input, regions=regions, errors=errors, objects=spec.objects, draws=spec.draws, seed=spec.seed,
        output=spec.output.to, of=spec.model.subject if spec.model is not None else spec.map,
    )  # fmt: skip


def output_of(folder: str) -> Output:
    """Layout of the error map."""
    return Output(to=folder, vectors=None, blocksize=BLOCKSIZE)


@task(cache=False, on_client=True)
def find_model_scoring(
    data: LabelledData,
    *,
    contract: Contract,
    area: Area | None,
    split: Literal["validation", "test"] | None,
    block_m: float | None,
    grid: GridSpec | None,
) -> ScoringInput:
    """Imagery and labels, on one grid for each entry. Not cached: files may have changed."""
    from swath.evaluation import scoring_input

    return log_notes(scoring_input.find_model_scoring(data, contract, area, split, block_m, grid))


@task(cache=False, on_client=True)
def find_map_scoring(
    path: str, *, labels: Labels, classes: tuple[LabelClass, ...], area: Area | None, block_m: float | None
) -> ScoringInput:
    """Map and labels, on the map's pixels. Not cached: files may have changed."""
    from swath.evaluation import scoring_input

    return log_notes(scoring_input.find_map_scoring(path, labels, classes, area, block_m))


def log_notes(scoring_input: ScoringInput) -> ScoringInput:
    """Log the notes of a ScoringInput, and return it."""
    for note in scoring_input.notes:
        log.info(note)
    return scoring_input


@task(on_client=True)
def plan_regions(scoring_input: ScoringInput, *, model: ModelInfo | None, region: int | None) -> Regions:
    """The pixels in windows, with the halo that the model needs."""
    from swath.maps.layout import plan_sheets

    halo, stride = (model.halo, model.stride) if model is not None else (0, 1)
    return plan_sheets(scoring_input.grids, scoring_input.area, output_of("."), region, halo=halo, stride=stride)


@task(on_client=True)
def plan_prediction(regions: Regions, *, model: ModelInfo, channels: int, calibration: bool) -> MapLayout:
    """Layout of the prediction, as in predict; with probabilities for the calibration. The one channel of a model with a threshold may
    be any number: where it is no probability there is no calibration."""
    from swath.maps.layout import model_layout

    if calibration and model.contract.threshold is not None and not model.gives_probabilities:
        log.info("%s gives numbers that are no probabilities: no calibration", model.contract.name)
        calibration = False
    output = output_of(".").model_copy(
        update={"probabilities": Probabilities(dtype="float32") if calibration else None}
    )
    return model_layout(regions, model, channels, output)


@task(on_client=True)
def plan_errors(regions: Regions) -> MapLayout:
    """Layout of the error map."""
    from swath.evaluation.error_map import NODATA
    from swath.maps.layout import byte_layout

    return byte_layout(regions, output_of("."), NODATA)


@task(retries=2, light=True)
def score_region(
    region: Region, *, scoring_input: ScoringInput, model: ModelInfo, errors: MapLayout, layout: MapLayout
) -> RegionScores:
    """One region: predicted as predict does, and compared with labels."""
    from swath.evaluation.scoring import score_model

    return score_model(region, scoring_input, model, errors, layout)


@task(retries=2, light=True)
def score_map_region(region: Region, *, scoring_input: ScoringInput, errors: MapLayout) -> RegionScores:
    """One region of a map: read, and compared with labels."""
    from swath.evaluation.scoring import score_map

    return score_map(region, scoring_input, errors)


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files exist and are unchanged."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def publish_scores(
    scored: Sequence[RegionScores],
    *,
    scoring_input: ScoringInput,
    regions: Regions,
    errors: MapLayout,
    objects: ObjectScoring | None,
    draws: int,
    seed: int,
    output: str,
    of: str,
) -> Published:
    """The scores, their page and the error map, published together."""
    from swath.evaluation.scorecard import Scorecard

    scorecard = Scorecard.of_regions(
        scored, scoring_input, regions, errors, of=of, objects=objects.classes if objects is not None else (),
        object_iou=objects.iou if objects is not None else None, draws=draws, seed=seed,
    )  # fmt: skip
    for line in scorecard.warnings:
        log.warning(line)
    for line in scorecard.notes:
        if line not in scoring_input.notes:
            log.info(line)
    for line in scorecard.summary.lines():
        log.info(line)
    return scorecard.publish(output_of(output))


@evaluate.planner
def plan(spec: Evaluate) -> dict[str, Any]:
    """What an evaluation would take, from the headers of its files."""
    from swath.evaluation import scoring_input
    from swath.imagery.sources.scene_checks import check_files
    from swath.maps.layout import plan_sheets
    from swath.models.info import check_weights

    if spec.model is not None and spec.data is not None:
        check_weights(spec.model)
        found = scoring_input.find_model_scoring(
            spec.data, read_contract(spec.model), spec.area, spec.split, spec.block_m, spec.grid
        )
    elif spec.map is not None and spec.labels is not None:
        found = scoring_input.find_map_scoring(spec.map, spec.labels, spec.classes, spec.area, spec.block_m)
    else:
        raise ValueError("neither model nor map")
    check_files(found.grids)
    regions = plan_sheets(found.grids, found.area, output_of(spec.output.to), spec.region)
    return {
        "scored": spec.model.subject if spec.model is not None else spec.map,
        "classes": ", ".join(each.name for each in found.classes),
        "images": len(found.images),
        "regions": len(regions),
        "megapixels": round(regions.megapixels, 3),
        "bootstrap_blocks_px": ", ".join(str(edge) for edge in found.blocks),
        "output": spec.output.to,
    }
