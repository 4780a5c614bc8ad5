"""Change: two states of one place in, what became of what out: a map, hectares, polygons.

before, after       maps that are there, imagery and a rule, or imagery and a model: then predict is a step for each
pair                both on the pixels of the first                                 on the client
regions             the grid in large windows                                       a lazy sequence
compared            one call per region: read both, compare, encode                 streamed over the workers
change              COG, table of hectares, vectors, picture, STAC item             on the client, atomically

A model that takes both dates at once (`dates: together`) makes the map itself: then the graph is that of predict, with scenes whose
bands are those of both.
"""

from __future__ import annotations

import dataclasses
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
from swath.spec.fields.output import Output, Vectors
from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import SpecModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.change.transitions import MapState, RegionComparison, StatePair
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
    """Compare two states of one place, and map what became of what."""

    before: Dated
    """The earlier state. Its pixels are those of the change map."""
    after: Dated
    """The later state."""
    output: Output
    """Folder of the change map, and what is made beside it."""
    model: ModelRef | None = None
    """Maps imagery; the two maps are published in `before` and `after` below the output."""
    dates: Literal["apart", "together"] = "apart"
    """Whether the model maps each date by itself, or takes the bands of both at once: as many of `before`, then those of `after`.
    Then the classes of the map are the model's own."""
    rule: ExpressionLabels | None = None
    """Tells two classes of imagery apart instead of a model, such as {expression: "ndwi > 0.1", label: water, otherwise: land}."""
    classes: tuple[LabelClass, ...] = ()
    """Names of the values of rasters that do not name them (the n-th is that of value n, from 0 on); colours of classes by name."""
    area: Area | None = None
    """Where to compare; everything that both states cover when not given."""
    grid: GridSpec | None = None
    """The grid of imagery, when it is not to be the imagery's own. Maps keep theirs."""
    region: int | None = Field(None, ge=64, le=16384)
    """Edge of the regions, each made by one call, in pixels; a multiple of output.blocksize. From the map's size when not given."""

    @model_validator(mode="after")
    def _sound(self) -> Change:
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
    """Compare two states of one place, and map what became of what."""
    if spec.model is not None and spec.dates == "together":
        contract, weights = read_contract(spec.model), read_weights(spec.model)
        both = find_dates(spec.before, spec.after, contract=contract, area=spec.area, grid=spec.grid)
        return map_scenes(both, contract, weights, spec.model, spec.area, spec.output, spec.region)
    made = {
        name: predict(predict_spec(spec, name))
        for name in ("before", "after")
        if spec.model is not None and getattr(spec, name).imagery is not None
    }
    pair = find_states(
        spec.before, spec.after, map_before=made.get("before"), map_after=made.get("after"), rule=spec.rule,
        classes=spec.classes, area=spec.area, grid=spec.grid, output=spec.output,
    )  # fmt: skip
    regions = plan_regions(pair, area=spec.area, output=spec.output, region=spec.region)
    form = plan_map(regions, output=spec.output)
    compared = compare_states.map(regions, pair=pair, form=form)
    return publish_change(compared, pair=pair, regions=regions, form=form, output=spec.output)


def predict_spec(spec: Change, name: str) -> Predict:
    """The step that maps one of the states."""
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
    """The imagery of both dates as scenes that have the bands of both. Looks at the files in every run."""
    from swath.imagery.sources.date_pairs import find_date_pairs
    from swath.maps.layout import grid_windows

    if before.imagery is None or after.imagery is None:
        raise ValueError("both dates need imagery")
    both = find_date_pairs(before.imagery, after.imagery, contract.bands, area, grid)
    grid_windows((both,), area)  # an area elsewhere is an error now
    for note in both.notes:
        log.info(note)
    return (both,)


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
    """Both states on the pixels of the first. Looks at the files in every run."""
    from swath.change.transitions import find_pair
    from swath.maps.layout import grid_windows

    states = (_state(before, map_before), _state(after, map_after))
    pair = find_pair(states, rule, classes, area, grid, output.background)
    grid_windows((pair.scenes,), area)  # an area elsewhere is an error now
    for note in pair.scenes.notes:
        log.info(note)
    return pair


def _state(dated: Dated, made: Published | None) -> MapState:
    """What is looked at: the map that was made of it, when one was."""
    from swath.change.transitions import MapState

    return MapState(dated.name, made.folder if made is not None else dated.map, dated.imagery)


@task(on_client=True)
def plan_regions(pair: StatePair, *, area: Area | None, output: Output, region: int | None) -> Regions:
    """The files of the map, and the windows of them that the calls make."""
    from swath.maps.layout import plan_sheets

    return plan_sheets((pair.scenes,), area, output, region)


@task(on_client=True)
def plan_map(regions: Regions, *, output: Output) -> MapLayout:
    """How the map's files are laid out."""
    from swath.change.transitions import NODATA
    from swath.maps.layout import byte_layout

    return byte_layout(regions, output, NODATA)


@task(retries=2)
def compare_states(region: Region, *, pair: StatePair, form: MapLayout) -> RegionComparison:
    """One region of the change map."""
    from swath.change.transitions import compare_region

    return compare_region(region, pair, form)


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def publish_change(
    compared: Sequence[RegionComparison], *, pair: StatePair, regions: Regions, form: MapLayout, output: Output
) -> Published:
    """Write the change map, its table and what is made beside it, and put it in its place."""
    from swath.change.transitions import area_matrix, transition_legend, transition_rows, transitions_csv
    from swath.errors import TaskFailed
    from swath.maps.legend import class_shares
    from swath.maps.map_files import MapFiles

    rows = transition_rows(compared, pair)
    if not rows:
        raise TaskFailed(
            "no pixel is known in both states", remedy="Check the area, nodata, and where the two have their data."
        )
    classes = transition_legend(rows)
    if output.vectors is not None:
        unchanged = [row.transition.name for row in rows if not row.transition.changed]
        wanted = [each.name for each in classes if each.name in output.background]
        vectors = output.vectors.model_copy(update={"background": tuple(dict.fromkeys([*unchanged, *wanted]))})
        output = output.model_copy(update={"vectors": Vectors.model_validate(vectors)})
    changed = [row for row in rows if row.transition.changed]
    share = 100 * sum(row.share for row in changed)
    known = [row.hectares for row in changed if row.hectares is not None]
    before, after = pair.names
    files = MapFiles(
        compared, regions, (pair.scenes,), form, output, classes,
        bands=("change",), subtitle=f"{before} to {after}: {share:.1f} % changed", model=None,
        lineage=f"What became of each pixel from {before} to {after}; the value is from * {len(pair.classes)} + to",
    )  # fmt: skip
    with files:
        files.add("transitions.csv", transitions_csv(rows))
        facts = files.write()
        return files.publish(
            {
                "shares": [dataclasses.asdict(each) for each in class_shares(classes, facts.counts)],
                "transitions": area_matrix(rows, pair),
                "numbers": {
                    "valid pixels": facts.valid,
                    "changed %": round(share, 3),
                    **({"changed ha": round(sum(known), 2)} if len(known) == len(changed) else {}),
                    **{
                        f"{row.transition.name} ha": round(row.hectares, 2)
                        for row in changed
                        if row.hectares is not None
                    },
                },
                "valid_pixels": facts.valid,
                "missing_regions": list(facts.missing),
                "input": {
                    "before": before,
                    "after": after,
                    "imagery": [
                        f"{scene.id}{f', {scene.datetime}' if scene.datetime else ''}" for scene in pair.scenes.scenes
                    ],
                    "classes": ", ".join(each.name for each in pair.classes),
                    "notes": list(pair.scenes.notes) or "none",
                },
            }
        )


@change.planner
def plan(spec: Change) -> dict[str, Any]:
    """What a comparison would take; of maps that a model makes first, what these take."""
    from swath.change.transitions import find_pair
    from swath.maps.layout import plan_sheets
    from swath.maps.prediction import grid_text

    told: dict[str, Any] = {}
    if spec.dates == "together" and spec.model is not None:
        contract = read_contract(spec.model)
        grids = find_dates(spec.before, spec.after, contract=contract, area=spec.area, grid=spec.grid)
        regions = plan_sheets(grids, spec.area, spec.output, spec.region)
        return {
            "model": f"{contract.name}: {', '.join(contract.bands)}",
            "scenes": len(grids[0].scenes),
            "grid": grid_text(regions.sheets[0].image, regions.sheets[0].output),
            "regions": len(regions),
            "megapixels": round(regions.megapixels, 3),
            "output": spec.output.to,
        }
    if spec.model is not None:
        for name in ("before", "after"):
            if getattr(spec, name).imagery is not None:
                each = predict.plan(predict_spec(spec, name))
                told |= {
                    f"{name}: {field}": each[field] for field in ("model", "scenes", "grid", "regions", "megapixels")
                }
        return told | {"output": spec.output.to}
    states = (_state(spec.before, None), _state(spec.after, None))
    pair = find_pair(states, spec.rule, spec.classes, spec.area, spec.grid, spec.output.background)
    regions = plan_sheets((pair.scenes,), spec.area, spec.output, spec.region)
    megapixels = regions.megapixels
    return {
        "before": pair.names[0],
        "after": pair.names[1],
        "classes": ", ".join(each.name for each in pair.classes),
        "grid": grid_text(regions.sheets[0].image, regions.sheets[0].output),
        "regions": len(regions),
        "megapixels": round(megapixels, 3),
        "map_bytes_at_most": round(megapixels * 1e6),
        "output": spec.output.to,
    }
