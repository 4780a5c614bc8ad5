"""Campaign: load, train, evaluate, and map other areas only with a model that is good enough. Four pipelines as steps of one.

loaded              the imagery, once, as COGs with a STAC collection            pipeline load
trained             a model of these labels                                      pipeline train
scores              the model on the places that nothing has seen                pipeline evaluate
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
    """What a model has to reach before anything is mapped with it."""

    score: str = "mean IoU"
    """Name of a number that evaluate tells, such as mean IoU, kappa or IoU water."""
    at_least: float
    """The smallest number that passes."""


class Campaign(Spec):
    """Load imagery, train a model on it, score it, and map areas if the score passes."""

    imagery: Imagery
    """What to load, for training and for maps."""
    labels: Labels
    """What is known of the ground."""
    classes: tuple[LabelClass, ...] = Field(min_length=2, max_length=15)
    """What there is to tell apart, in the order of the map's values from 0 on."""
    bands: tuple[str, ...] = Field(min_length=1)
    """Which bands the model takes, in this order."""
    passes: Passes
    """What the model has to reach."""
    areas: tuple[Area, ...] = ()
    """What to map, one map each; everything that was loaded when not given."""
    area: Area | None = None
    """Where the labels are to be believed; everywhere on the imagery when not given."""
    split: SplitSpec = BlockSplit(validation=0.2, test=0.2)
    """Which places are held back: for `validation`, on which the best weights are chosen, and for `test`, which is scored."""
    sampling: Sampling = Sampling()
    """Which chips are seen."""
    network: Network = Network()
    """The network."""
    loss: Loss = (LossTerm(name="cross_entropy"),)
    """What is made small: cross_entropy, focal, dice, or a list of them, which are summed."""
    epochs: int = Field(default=10, ge=1)
    """So often the validation split is looked at."""
    seed: int = Field(default=1, ge=0)
    """Decides split, first weights and chips."""
    vectors: bool = True
    """Also write polygons of each map."""
    output: Destination
    """Folder of everything: imagery, model, scores and maps are folders in it."""

    @model_validator(mode="after")
    def _has_a_test(self) -> Campaign:
        tested = getattr(self.split, "test", None)
        if not tested:
            raise ValueError("split.test: a campaign scores its model on places that nothing has seen; hold some back")
        return self


@dataclass(frozen=True)
class CampaignResult:
    """What a campaign came to."""

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
    """All bands that the model takes and that a rule over bands needs."""
    wanted = list(spec.imagery.bands or spec.bands)
    if isinstance(spec.labels, ExpressionLabels) and spec.labels.imagery is None:
        wanted += spec.labels.parsed().bands
    imagery = spec.imagery.model_copy(update={"bands": tuple(dict.fromkeys(wanted))})
    return Load(imagery=imagery, output=CollectionOutput(to=f"{spec.output.to}/imagery"))


def held_imagery(spec: Campaign) -> StacImagery:
    """What was loaded, as a source."""
    return StacImagery(
        catalog=f"{spec.output.to}/imagery/collection.json",
        mosaic=spec.imagery.mosaic,
        resampling=spec.imagery.resampling,
    )


@task(on_client=True)
def train_spec(spec: Campaign, *, loaded: Published) -> Train:
    """The training's spec, once the imagery is there."""
    return Train(
        data=(LabelledImagery(imagery=held_imagery(spec), labels=spec.labels, area=spec.area),),
        classes=spec.classes, bands=spec.bands, split=spec.split, sampling=spec.sampling, network=spec.network,
        loss=spec.loss, epochs=spec.epochs, seed=spec.seed, output=ModelOutput(to=f"{spec.output.to}/model"),
    )  # fmt: skip


@task(on_client=True)
def evaluate_spec(spec: Campaign, *, trained: Published) -> Evaluate:
    """The scoring's spec, once the model is there: the test split of its own training."""
    return Evaluate(
        model=ModelRef(path=weights_of(trained)),
        data=(LabelledImagery(imagery=held_imagery(spec), labels=spec.labels, area=spec.area),),
        split="test", output=Destination(to=f"{spec.output.to}/scores"), seed=spec.seed,
    )  # fmt: skip


@task(on_client=True)
def predict_specs(spec: Campaign, *, trained: Published) -> list[Predict]:
    """A map's spec for each area."""
    model, vectors = ModelRef(path=weights_of(trained)), Vectors() if spec.vectors else None
    areas: Sequence[Area | None] = spec.areas or (None,)
    return [
        Predict(
            imagery=held_imagery(spec), model=model, area=area,
            output=Output(to=f"{spec.output.to}/maps/{name}", vectors=vectors),
        )
        for name, area in zip(names_of(spec.areas), areas, strict=True)
    ]  # fmt: skip


def names_of(areas: Sequence[Area]) -> list[str]:
    """A folder's name for each area: that of its file, numbered where it has none or several have the same."""
    from pathlib import PurePosixPath

    found: list[str] = []
    for number, area in enumerate(areas, 1):
        stem = PurePosixPath(area.source).stem if "." in area.source and "/" not in area.source[-1:] else ""
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-")
        found.append(stem if stem and stem not in found else f"{stem or 'area'}-{number}")
    return found or ["all"]


def weights_of(trained: Published) -> str:
    """Path or URL of the model."""
    return next(path for path in trained.outputs() if path.endswith(".pt2"))


@task(on_client=True)
def good_enough(scores: Published, *, passes: Passes) -> bool:
    """Whether the score passes. A score of another name is an error."""
    from swath.errors import UsageError

    numbers = scores.about["numbers"]
    if passes.score not in numbers:
        raise UsageError(
            f"passes.score: there is no number {passes.score!r}", remedy=f"There are {', '.join(numbers)}."
        )
    found = numbers[passes.score]
    good = bool(found >= passes.at_least)
    told = "it passes" if good else "it does not pass, so nothing is mapped"
    log.log(
        logging.INFO if good else logging.WARNING,
        "%s is %s, asked for %s: %s",
        passes.score,
        found,
        passes.at_least,
        told,
    )
    return good


@task(on_client=True, takes_skipped=True)
def conclude(
    loaded: Published, trained: Published, scores: Published, good: bool, maps: Sequence[Published], *, output: str
) -> CampaignResult:
    """Everything that was made."""
    made = tuple(maps) if good else ()  # SKIPPED otherwise
    return CampaignResult(output, good, dict(scores.about["numbers"]), (loaded, trained, scores, *made))


@campaign.planner
def plan(spec: Campaign) -> dict[str, Any]:
    """What is known before anything is loaded."""
    told = load.plan(load_spec(spec))
    return {
        **{f"load: {name}": value for name, value in told.items() if name != "output"},
        "train": f"{spec.network.name}, {spec.epochs} epochs of {spec.sampling.steps or 'all'} steps",
        "passes": f"{spec.passes.score} at least {spec.passes.at_least:g}, on the test split",
        "maps": len(spec.areas) or 1,
        "output": spec.output.to,
    }
