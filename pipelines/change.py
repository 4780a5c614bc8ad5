"""Change: two states of one place in; a map of their transitions, a table of hectares and polygons out.

before, after       maps, imagery with a rule, or imagery with a model: then predict is a step for each
pair                both on the pixels of the first                                 on the client
regions             the grid in large windows                                       a lazy sequence
compared            one call per region: read both, compare, encode                 streamed over the workers
change              COG, table of hectares, vectors, picture, STAC item             on the client, atomically

A model that takes both dates at once (`dates: together`) predicts the map itself: then the graph is that of predict, with scenes that
have the bands of both dates.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.pipelines.predict import Predict, map_scenes, predict, read_contract, read_weights
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.labels import ExpressionLabels, LabelClass
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import SpecModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.change.comparison import RegionComparison
    from swath.change.states import MapState, StatePair
    from swath.geo import Region, Regions
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.models.contract import Contract
    from swath.storage.publication import Published

log = logging.getLogger(__name__)


class Dated(SpecModel):
    """The state at one time. In YAML: the path of a map, or a mapping."""

    short_schemas = ({"type": "string", "description": "Folder of a map, or a raster of classes"},)

    map: InputPath | None = None
    """A folder that predict wrote, or a raster of classes. Give this or `imagery`."""
    imagery: Imagery | None = None
    """Imagery, for the model or the rule."""
    name: str = ""
    """Such as a year; the map's or the scene's own name when not given."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"map": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Dated:
        if (self.map is None) == (self.imagery is None):
            raise ValueError("give either map or imagery")
        return self


class Change(Spec):
    """Compare two states of one place, and map the transitions of its classes."""

    before: Dated
    """The earlier state. Its pixels are those of the change map."""
    after: Dated
    """The later state."""
    output: Output
    """Folder of the change map, and the files beside it."""
    model: ModelRef | None = None
    """Predicts maps of the imagery; the two maps are published in `before` and `after` below the output."""
    dates: Literal["apart", "together"] = "apart"
    """Whether the model takes each date by itself, or the bands of both at once: those of `before`, then as many of `after`. Then the
    classes of the map are the model's own."""
    rule: ExpressionLabels | None = None
    """Makes two classes of imagery instead of a model, such as {expression: "ndwi > 0.1", label: water, otherwise: land}."""
    classes: tuple[LabelClass, ...] = ()
    """Names of the values of rasters that do not name them (the n-th is that of value n, from 0 on); colours of classes by name."""
    area: Area | None = None
    """Where to compare; everything that both states cover when not given."""
    grid: GridSpec | None = None
    """The grid of imagery, when it is not to be the imagery's own. Maps keep theirs."""
    region: int | None = Field(None, ge=64, le=16384)
    """Edge of the regions, each compared by one call, in pixels; a multiple of output.blocksize. From the map's size when not given."""

    @model_validator(mode="after")
    def _check(self) -> Change:
        imagery = [name for name in ("before", "after") if getattr(self, name).imagery is not None]
        if self.model is not None and self.rule is not None:
            raise ValueError("give either model or rule")
        if imagery and self.model is None and self.rule is None:
            raise ValueError(f"{imagery[0]}.imagery needs a model or a rule that makes classes of it")
        if not imagery and (self.model is not None or self.rule is not None):
            raise ValueError(f"{'model' if self.model else 'rule'} has no imagery: both states are maps")
        if self.dates == "together" and (self.model is None or len(imagery) < 2):
            raise ValueError("dates: together needs a model, and imagery of both dates")
        if self.dates == "apart" and self.output.probabilities is not None:
            raise ValueError("output.probabilities: a change map has none")
        if self.grid is not None and self.grid.zones:
            raise ValueError("grid.zones: a change map has one grid; give grid.crs")
        if self.region is not None and self.region % self.output.blocksize:
            raise ValueError(f"region: {self.region} is not a multiple of output.blocksize, {self.output.blocksize}")
        return self


@pipeline
def change(spec: Change) -> Any:
    """Compare two states of one place, and map the transitions of its classes."""
    if spec.model is not None and spec.dates == "together":
        contract, weights = read_contract(spec.model), read_weights(spec.model)
        both = find_dates(spec.before, spec.after, contract=contract, area=spec.area, grid=spec.grid)
        return map_scenes(both, contract, weights, spec.model, spec.area, spec.output, spec.region)
    predicted = {
        name: predict(predict_spec(spec, name))
        for name in ("before", "after")
        if spec.model is not None and getattr(spec, name).imagery is not None
    }
    pair = find_states(
        spec.before, spec.after, map_before=predicted.get("before"), map_after=predicted.get("after"), rule=spec.rule,
        classes=spec.classes, area=spec.area, grid=spec.grid, output=spec.output,
    )  # fmt: skip
    regions = plan_regions(pair, area=spec.area, output=spec.output, region=spec.region)
    layout = plan_map(regions, output=spec.output)
    compared = compare_states.map(regions, pair=pair, layout=layout)
    return publish_change(compared, pair=pair, regions=regions, layout=layout, output=spec.output)


def predict_spec(spec: Change, name: str) -> Predict:
    """The spec of the step that predicts the map of one state."""
    if spec.model is None:
        raise ValueError("no model")
    output = spec.output.model_copy(update={"to": f"{spec.output.to.rstrip('/')}/{name}", "pmtiles": None})
    return Predict(
        imagery=getattr(spec, name).imagery, model=spec.model, output=output, area=spec.area, grid=spec.grid, region=spec.region
    )  # fmt: skip


@task(cache=False, on_client=True)
def find_dates(
    before: Dated, after: Dated, *, contract: Contract, area: Area | None, grid: GridSpec | None
) -> tuple[Scenes, ...]:
    """The imagery of both dates as scenes with the bands of both. Not cached: files may have changed."""
    from swath.imagery.sources.date_pairs import find_date_pairs
    from swath.imagery.sources.scene_units import check_date_pairs, check_units
    from swath.maps.layout import grid_windows
    from swath.maps.resolution import with_resolution_notes

    if before.imagery is None or after.imagery is None:
        raise ValueError("both dates need imagery")
    both = find_date_pairs(before.imagery, after.imagery, contract.bands, area, grid)
    check_units((both,), physical=contract.units == "reflectance")
    if contract.units == "dn":
        check_date_pairs(both)
    grid_windows((both,), area)  # an area outside of the imagery is an error here
    for note in both.notes:
        log.info(note)
    return with_resolution_notes((both,), contract)


@task(cache=False, on_client=True)
def find_states(
    before: Dated,
    after: Dated,
    *,
    map_before: Published | None,
    map_after: Published | None,
    rule: ExpressionLabels | None,
    classes: tuple[LabelClass, ...],
    area: Area | None,
    grid: GridSpec | None,
    output: Output,
) -> StatePair:
    """Both states on the pixels of the first. Not cached: files may have changed."""
    from swath.change.states import find_pair
    from swath.maps.layout import grid_windows

    states = (map_state(before, map_before), map_state(after, map_after))
    pair = find_pair(states, rule, classes, area, grid, output.background)
    grid_windows((pair.scenes,), area)  # an area outside of the imagery is an error here
    for note in pair.scenes.notes:
        log.info(note)
    return pair


def map_state(dated: Dated, predicted: Published | None) -> MapState:
    """A state: the predicted map where there is one, else what the spec gives."""
    from swath.change.states import MapState

    return MapState(dated.name, predicted.folder if predicted is not None else dated.map, dated.imagery)


@task(on_client=True)
def plan_regions(pair: StatePair, *, area: Area | None, output: Output, region: int | None) -> Regions:
    """The files of the map, and the regions of them that the calls compare."""
    from swath.maps.layout import plan_sheets

    return plan_sheets((pair.scenes,), area, output, region)


@task(on_client=True)
def plan_map(regions: Regions, *, output: Output) -> MapLayout:
    """Layout and encoding of the map's files."""
    from swath.change.transitions import NODATA
    from swath.maps.layout import byte_layout

    return byte_layout(regions, output, NODATA)


@task(retries=2, light=True)
def compare_states(region: Region, *, pair: StatePair, layout: MapLayout) -> RegionComparison:
    """One region of the change map."""
    from swath.change.comparison import compare_region

    return compare_region(region, pair, layout)


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files exist and are unchanged."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def publish_change(
    compared: Sequence[RegionComparison], *, pair: StatePair, regions: Regions, layout: MapLayout, output: Output
) -> Published:
    """Write the change map, its table and the files beside it, and publish them together."""
    from swath.change.change_map import publish_change_map

    return publish_change_map(compared, pair, regions, layout, output)


@change.planner
def plan(spec: Change) -> dict[str, Any]:
    """What a comparison would take; where a model makes the maps first, what these take."""
    from swath.change.states import find_pair
    from swath.imagery.sources.scene_checks import check_files
    from swath.maps.layout import plan_sheets
    from swath.models.info import check_weights

    if spec.dates == "together" and spec.model is not None:
        contract = read_contract(spec.model)
        check_weights(spec.model)
        grids = find_dates(spec.before, spec.after, contract=contract, area=spec.area, grid=spec.grid)
        check_files(grids)
        regions = plan_sheets(grids, spec.area, spec.output, spec.region)
        return {
            "model": f"{contract.name}: {', '.join(contract.bands)}",
            "scenes": len(grids[0].scenes),
            **regions_summary(regions),
            "output": spec.output.to,
        }
    if spec.model is not None:
        predicted = {
            f"{name}: {key}": value
            for name in ("before", "after")
            if getattr(spec, name).imagery is not None
            for key, value in predict.plan(predict_spec(spec, name)).items()
            if key in ("model", "scenes", "grid", "regions", "megapixels")
        }
        return {**predicted, "output": spec.output.to}
    states = (map_state(spec.before, None), map_state(spec.after, None))
    pair = find_pair(states, spec.rule, spec.classes, spec.area, spec.grid, spec.output.background)
    check_files(pair.inputs)
    regions = plan_sheets((pair.scenes,), spec.area, spec.output, spec.region)
    return {
        "before": pair.names[0],
        "after": pair.names[1],
        "classes": ", ".join(each.name for each in pair.classes),
        **regions_summary(regions),
        "map_bytes_at_most": round(regions.megapixels * 1e6),
        "output": spec.output.to,
    }


def regions_summary(regions: Regions) -> dict[str, Any]:
    """Grid, number of regions and size of a map, for a plan."""
    from swath.maps.prediction import grid_text

    return {
        "grid": grid_text(regions.sheets[0].image, regions.sheets[0].output),
        "regions": len(regions),
        "megapixels": round(regions.megapixels, 3),
    }
