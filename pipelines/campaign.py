"""Campaign: load, train, evaluate, and map areas if the score passes: four pipelines as steps of one.

loaded              the imagery as COGs with a STAC collection                   pipeline load
trained             a model of the labels                                        pipeline train
scores              the model on the test split                                  pipeline evaluate
good                whether the score passes                                     on the client
maps                one map for each area, if it does                            pipeline predict, mapped
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.pipelines.evaluate import Evaluate, evaluate
from swath.pipelines.load import CollectionOutput, Load, load
from swath.pipelines.predict import Predict, predict
from swath.pipelines.train import ModelOutput, Train, train
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import Imagery, StacImagery
from swath.spec.fields.labels import ExpressionLabels, LabelClass, LabelledImagery, Labels
from swath.spec.fields.model import ModelRef
from swath.spec.fields.network import Loss, LossTerm, Network
from swath.spec.fields.output import Destination, Output, Vectors
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import BlockSplit, SplitSpec
from swath.spec.spec_model import SpecModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.storage.publication import Published

log = logging.getLogger(__name__)


class Passes(SpecModel):
    """The score that a model needs before areas are mapped with it."""

    score: str = "mean IoU"
    """Name of a number of evaluate, such as mean IoU, kappa or IoU water."""
    at_least: float
    """The smallest number that passes."""


class Campaign(Spec):
    """Load imagery, train a model on it, score it, and map areas if the score passes."""

    imagery: Imagery
    """What to load, for training and for maps."""
    labels: Labels
    """The labels."""
    classes: tuple[LabelClass, ...] = Field(min_length=2, max_length=15)
    """The classes, in the order of the map's values from 0 on."""
    bands: tuple[str, ...] = Field(min_length=1)
    """The bands of the model's input, in this order."""
    passes: Passes
    """The score that the model needs."""
    areas: tuple[Area, ...] = ()
    """What to map, one map each; everything that was loaded when not given."""
    area: Area | None = None
    """Where the labels are valid; everywhere on the imagery when not given."""
    split: SplitSpec = BlockSplit(validation=0.2, test=0.2)
    """How places are split: the best weights are selected on `validation`, and `test` is scored."""
    sampling: Sampling = Sampling()
    """How chips are sampled."""
    network: Network = Network()
    """The network."""
    loss: Loss = (LossTerm(name="cross_entropy"),)
    """The loss: cross_entropy, focal, dice, or a list of them, which are summed."""
    epochs: int = Field(default=10, ge=1)
    """Number of epochs. The validation split is scored at the end of each."""
    seed: int = Field(default=1, ge=0)
    """Seed of split, initial weights and chips."""
    vectors: bool = True
    """Also write polygons of each map."""
    output: Destination
    """Folder of all results: imagery, model, scores and maps are folders in it."""

    @model_validator(mode="after")
    def _has_a_test(self) -> Campaign:
        tested = getattr(self.split, "test", None)
        if not tested:
            raise ValueError("split.test: a campaign scores its model on the test split, so it cannot be empty")
        return self


@dataclass(frozen=True)
class CampaignResult:
    """The result of a campaign."""

    folder: str
    passed: bool
    numbers: dict[str, float] = field(default_factory=dict)
    """The scores."""
    published: tuple[Published, ...] = ()
    """Imagery, model, scores and, if the score passed, the maps."""

    def outputs(self) -> list[str]:
        """Paths or URLs of all files."""
        return [line for each in self.published for line in each.outputs()]

    def report(self) -> dict[str, Any]:
        """For the run's report."""
        _, model, scores, *maps = (each.folder for each in self.published)
        return {
            "folder": self.folder,
            "numbers": {"passed": self.passed, "maps": len(maps), **self.numbers},
            "input": {"model": model, "scores": scores, "maps": maps or "none: the score did not pass"},
        }


@pipeline
def campaign(spec: Campaign) -> Any:
    """Load imagery, train a model on it, score it, and map areas if the score passes."""
    loaded = load(load_spec(spec))
    trained = train(train_spec(spec, loaded=loaded))
    scores = evaluate(evaluate_spec(spec, trained=trained))
    good = good_enough(scores, passes=spec.passes)
    maps = predict.map(predict_specs(spec, trained=trained), when=good)
    return conclude(loaded, trained, scores, good, maps, output=spec.output.to)


def load_spec(spec: Campaign) -> Load:
    """The spec of load: all bands that the model and a rule over bands need."""
    bands = list(spec.imagery.bands or spec.bands)
    if isinstance(spec.labels, ExpressionLabels) and spec.labels.imagery is None:
        bands += spec.labels.parsed().bands
    imagery = spec.imagery.model_copy(update={"bands": tuple(dict.fromkeys(bands))})
    return Load(imagery=imagery, output=CollectionOutput(to=f"{spec.output.to}/imagery"))


def loaded_imagery(spec: Campaign) -> StacImagery:
    """The loaded imagery as a source."""
    return StacImagery(
        catalog=f"{spec.output.to}/imagery/collection.json",
        mosaic=spec.imagery.mosaic,
        resampling=spec.imagery.resampling,
    )


@task(on_client=True)
def train_spec(spec: Campaign, *, loaded: Published) -> Train:
    """The spec of train, once the imagery is loaded."""
    return Train(
        data=(LabelledImagery(imagery=loaded_imagery(spec), labels=spec.labels, area=spec.area),),
        classes=spec.classes, bands=spec.bands, split=spec.split, sampling=spec.sampling, network=spec.network,
        loss=spec.loss, epochs=spec.epochs, seed=spec.seed, output=ModelOutput(to=f"{spec.output.to}/model"),
    )  # fmt: skip


@task(on_client=True)
def evaluate_spec(spec: Campaign, *, trained: Published) -> Evaluate:
    """The spec of evaluate, once the model is trained: the test split of its own training."""
    return Evaluate(
        model=ModelRef(path=model_path(trained)),
        data=(LabelledImagery(imagery=loaded_imagery(spec), labels=spec.labels, area=spec.area),),
        split="test", output=Destination(to=f"{spec.output.to}/scores"), seed=spec.seed,
    )  # fmt: skip


@task(on_client=True)
def predict_specs(spec: Campaign, *, trained: Published) -> list[Predict]:
    """A spec of predict for each area."""
    from swath.maps.area_folders import area_folders

    model, vectors = ModelRef(path=model_path(trained)), Vectors() if spec.vectors else None
    areas: Sequence[Area | None] = spec.areas or (None,)
    return [
        Predict(
            imagery=loaded_imagery(spec), model=model, area=area,
            output=Output(to=f"{spec.output.to}/maps/{name}", vectors=vectors),
        )
        for name, area in zip(area_folders(spec.areas), areas, strict=True)
    ]  # fmt: skip


def model_path(trained: Published) -> str:
    """Path or URL of the model."""
    return next(path for path in trained.outputs() if path.endswith(".pt2"))


@task(on_client=True)
def good_enough(scores: Published, *, passes: Passes) -> bool:
    """Whether the score passes. A score that evaluate does not give is an error."""
    from swath.evaluation.acceptance import meets_score

    numbers = scores.about["numbers"]
    good = meets_score(numbers, passes.score, passes.at_least)
    level, verdict = (
        (logging.INFO, "it passes") if good else (logging.WARNING, "it does not pass, so nothing is mapped")
    )
    log.log(level, "%s is %s, required %s: %s", passes.score, numbers[passes.score], passes.at_least, verdict)
    return good


@task(on_client=True, takes_skipped=True)
def conclude(
    loaded: Published, trained: Published, scores: Published, good: bool, maps: Sequence[Published], *, output: str
) -> CampaignResult:
    """The results of all steps."""
    published = tuple(maps) if good else ()  # SKIPPED otherwise
    return CampaignResult(output, good, dict(scores.about["numbers"]), (loaded, trained, scores, *published))


@campaign.planner
def plan(spec: Campaign) -> dict[str, Any]:
    """What a campaign would take, as far as it is known before the imagery is loaded."""
    loading = load.plan(load_spec(spec))
    return {
        **{f"load: {name}": value for name, value in loading.items() if name != "output"},
        "train": f"{spec.network.name}, {spec.epochs} epochs of {spec.sampling.steps or 'all'} steps",
        "passes": f"{spec.passes.score} at least {spec.passes.at_least:g}, on the test split",
        "maps": len(spec.areas) or 1,
        "output": spec.output.to,
    }
