"""Train: labelled imagery in, a model for predict and evaluate out.

images, split       each image with its labels; the rule that puts places into splits  on the client
windows             the images cut into windows                                        on the client
surveys             class counts by split and band statistics of each window           streamed over the workers
plan, settings      what the chips are drawn from; everything else of the training     on the client
result              one call: steps, validation, checkpoints; can be resumed           on a worker (with a GPU if requested)
model               .pt2, .safetensors, contract, curves, card                         on the client, atomically
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields.labels import LabelClass, LabelledData, LabelledImagery
from swath.spec.fields.network import Augmentation, BestEpoch, Loss, LossTerm, Network, Optimizer
from swath.spec.fields.output import Destination
from swath.spec.fields.paths import OutputPath
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import BlockSplit, SplitSpec
from swath.spec.spec_model import mistake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.geo import Window
    from swath.imagery.labels.labelled_image import LabelledImage
    from swath.storage.publication import Published
    from swath.training.chips.chip_plan import ChipPlan
    from swath.training.chips.survey import Survey
    from swath.training.loop.network_source import NetworkSource
    from swath.training.loop.settings import TrainResult, TrainSettings
    from swath.training.split.split import Split

log = logging.getLogger(__name__)


class ModelOutput(Destination):
    """Folder, name and formats of the model. In YAML: a path, or a mapping."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the model and its files; the folder's name when not given."""
    onnx: bool = False
    """Also write ONNX. Needs the extra `onnx`."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.name or self.to.rstrip("/").rpartition("/")[2]


class Train(Spec):
    """Train a model on labelled imagery."""

    data: LabelledData
    """Imagery with labels: one set or a list of them."""
    classes: tuple[LabelClass, ...] = Field(min_length=2, max_length=255)
    """The classes, in the order of the map's values from 0 on."""
    bands: tuple[str, ...] = Field(min_length=1)
    """The bands of the model's input, in this order."""
    output: ModelOutput
    """Folder of the model."""
    units: Literal["dn", "reflectance"] = "dn"
    """Whether the model takes the files' numbers or physical values (number * scale + offset)."""
    split: SplitSpec = BlockSplit()
    """How places are split into training, validation and test."""
    sampling: Sampling = Sampling()
    """How chips are sampled."""
    network: Network = Network()
    """The network."""
    loss: Loss = (LossTerm(name="cross_entropy"),)
    """The loss: cross_entropy, focal, dice, or a list of them, which are summed."""
    augment: Augmentation = Augmentation()
    """Augmentation of the chips."""
    optimizer: Optimizer = Optimizer()
    """Learning rate and its schedule."""
    best: BestEpoch = BestEpoch()
    """The metric that selects the epoch whose weights are published, and early stopping."""
    epochs: int = Field(default=10, ge=1)
    """Number of epochs. The validation split is scored at the end of each."""
    seed: int = Field(default=1, ge=0)
    """Seed of initial weights, chips, augmentation and split: the same spec and seed give the same weights."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    """Of the network's arithmetic in the training. Those other than 32 are for GPUs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is the GPU if the machine on which the run is started has one. With `cuda` the training runs on a worker with the
    resource gpu."""
    threads: int = Field(default=2, ge=1)
    """CPU threads of the training. The last bits of the weights depend on it, so the default is not the machine's number."""
    tiles: OutputPath | None = None
    """Also write all labelled places as GeoTIFF pairs of image and labels into this folder, for other tools."""
    licence: str = ""
    """Of the weights, for the contract and the card."""

    @model_validator(mode="after")
    def _named(self) -> Train:
        names = [each.name for each in self.classes]
        if len(set(names)) != len(names):
            raise mistake("each class needs a name of its own", at=("classes",))
        if len(set(self.bands)) != len(self.bands):
            raise mistake("a band is there twice", at=("bands",))
        if self.best.metric not in ("mean_iou", "accuracy", "loss", *names):
            known = ", ".join(("mean_iou", "accuracy", "loss", *names))
            raise mistake("{given!r} is none of {known}", at=("best", "metric"), given=self.best.metric, known=known)
        for number, term in enumerate(self.loss):
            if isinstance(term.class_weights, tuple) and len(term.class_weights) != len(names):
                where = ("loss", number, "class_weights")
                raise mistake(
                    "{given} numbers for {count} classes", at=where, given=len(term.class_weights), count=len(names)
                )
        return self


@pipeline
def train(spec: Train) -> Any:
    """Train a model on labelled imagery."""
    images = find_images(spec.data, bands=spec.bands, classes=spec.classes, units=spec.units)
    split = make_split_rule(images, split=spec.split, seed=spec.seed)
    windows = cut_windows(images)
    surveys = survey_window.map(
        windows, images=images, split=split, classes=len(spec.classes), reflectance=spec.units == "reflectance"
    )
    plan = plan_training(
        surveys, images=images, split=split, classes=spec.classes, reflectance=spec.units == "reflectance"
    )
    network = spec.network
    source = read_network(network) if ":" in network.name or network.weights is not None else None
    settings = make_settings(
        plan, network=spec.network, source=source, loss=spec.loss, augment=spec.augment, optimizer=spec.optimizer, best=spec.best,
        sampling=spec.sampling, epochs=spec.epochs, seed=spec.seed, precision=spec.precision, device=spec.device,
        threads=spec.threads,
    )  # fmt: skip
    fit = train_network.options(resources={"gpu": 1}) if spec.device == "cuda" else train_network
    commit = read_commit(settings, plan=plan, sampling=spec.sampling)
    result = fit(settings, plan=plan, sampling=spec.sampling, output=spec.output)
    if spec.tiles is not None:
        export_chips(plan, sampling=spec.sampling, classes=spec.classes, to=spec.tiles)
    return publish_model(
        result, settings=settings, plan=plan, classes=spec.classes, sampling=spec.sampling, licence=spec.licence,
        output=spec.output, commit=commit,
    )  # fmt: skip


@task(cache=False, on_client=True)
def find_images(
    data: tuple[LabelledImagery, ...], *, bands: tuple[str, ...], classes: tuple[LabelClass, ...], units: str
) -> tuple[LabelledImage, ...]:
    """Each image with its labels. Looks at the files or the catalogue in every run."""
    from swath.imagery.labels.labelled_image import find_labelled_images
    from swath.imagery.sources.scene_units import check_units
    from swath.training.fit import require_package

    require_package("lightning", "train")
    images = find_labelled_images(data, bands, tuple(each.name for each in classes))
    for image in images:
        check_units((image.scenes,), physical=units == "reflectance")
    for note in dict.fromkeys(note for image in images for note in image.notes):
        log.info(note)
    return images


@task(on_client=True)
def make_split_rule(images: tuple[LabelledImage, ...], *, split: SplitSpec, seed: int) -> Split:
    """The rule that gives the split of every place."""
    from swath.training.split.split import make_split

    return make_split(split, seed, [image.scenes for image in images])


@task(on_client=True)
def cut_windows(images: tuple[LabelledImage, ...]) -> tuple[tuple[int, Window], ...]:
    """The windows of all images, each surveyed by one call."""
    from swath.training.chips.survey import survey_windows

    return tuple((number, window) for number, image in enumerate(images) for window in survey_windows(image))


@task(retries=2)
def survey_window(
    numbered_window: tuple[int, Window],
    *,
    images: tuple[LabelledImage, ...],
    split: Split,
    classes: int,
    reflectance: bool,
) -> Survey:
    """Class counts and band statistics of one window of an image."""
    from swath.training.chips.survey import survey

    image, window = numbered_window
    return survey(images[image], window, split, classes, reflectance=reflectance)


@task(on_client=True)
def plan_training(
    surveys: Sequence[Survey],
    *,
    images: tuple[LabelledImage, ...],
    split: Split,
    classes: tuple[LabelClass, ...],
    reflectance: bool,
) -> ChipPlan:
    """Images, surveys and split together. A training or validation split without labels is an error here."""
    from swath.training.chips.chip_plan import plan_chips

    plan = plan_chips(images, list(surveys), split, tuple(each.name for each in classes), reflectance=reflectance)
    for note in plan.notes:
        log.warning(note)
    return plan


@task(cache=False, on_client=True)
def read_network(network: Network) -> NetworkSource:
    """Digests of the network's code and initial weights. The files are read in every run."""
    from swath.training.loop.network_source import NetworkSource

    return NetworkSource.of(network)


@task(on_client=True)
def make_settings(
    plan: ChipPlan,
    *,
    network: Network,
    source: NetworkSource | None,
    loss: tuple[LossTerm, ...],
    augment: Augmentation,
    optimizer: Optimizer,
    best: BestEpoch,
    sampling: Sampling,
    epochs: int,
    seed: int,
    precision: Literal["32", "bf16-mixed", "16-mixed"],
    device: Literal["auto", "cpu", "cuda"],
    threads: int,
) -> TrainSettings:
    """Everything that the weights depend on beside the chips."""
    from swath.models.device import resolve_device
    from swath.training.chips.chips import Chips
    from swath.training.loop.network_source import NetworkSource
    from swath.training.loop.settings import TrainSettings, class_weights
    from swath.training.split.split import TRAIN

    counts = plan.counts[TRAIN].tolist()
    return TrainSettings(
        network=network, bands=len(plan.images[0].scenes.bands), classes=plan.classes, loss=loss,
        class_weights=tuple(class_weights(term, counts) for term in loss), augment=augment, optimizer=optimizer,
        best=best, epochs=epochs, epoch_steps=Chips(plan, sampling, seed).steps_per_epoch, seed=seed,
        precision=precision, device=resolve_device(device), threads=threads, source=source or NetworkSource(),
    )  # fmt: skip


@task(on_client=True)
def read_commit(settings: TrainSettings, *, plan: ChipPlan, sampling: Sampling) -> str:
    """The project's commit when the training starts; empty outside of a repository.

    Its arguments are those of the training, so a training that is reused or resumed keeps the commit that it started with.
    """
    from swath.training.fit import current_commit

    return current_commit()


@task(retries=2)
def train_network(settings: TrainSettings, *, plan: ChipPlan, sampling: Sampling, output: ModelOutput) -> TrainResult:
    """Train the network. A repeated call resumes from the last checkpoint, at most two minutes old."""
    from swath.training.checkpoints import Checkpoints
    from swath.training.fit import fit

    return fit(settings, plan, sampling, Checkpoints.of(output.to, output.model, settings, plan, sampling))


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files exist and are unchanged."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def export_chips(plan: ChipPlan, *, sampling: Sampling, classes: tuple[LabelClass, ...], to: str) -> Published:
    """All labelled places as pairs of GeoTIFFs."""
    from swath.graph.call_context import current_run
    from swath.maps.legend import legend_from_classes
    from swath.training.chips.export import export_chips as write_chips

    return write_chips(plan, sampling, to, current_run() or "tiles", legend_from_classes(classes))


@task(on_client=True, valid=still_there)
def publish_model(
    result: TrainResult,
    *,
    settings: TrainSettings,
    plan: ChipPlan,
    classes: tuple[LabelClass, ...],
    sampling: Sampling,
    licence: str,
    output: ModelOutput,
    commit: str,
) -> Published:
    """Write the network, its contract, learning curves and model card, and publish them together."""
    from swath.training.checkpoints import Checkpoints
    from swath.training.fit import publish

    return publish(
        result, settings, plan, classes, sampling, licence, output.to, output.model, onnx=output.onnx, commit=commit,
        checkpoints=Checkpoints.of(output.to, output.model, settings, plan, sampling),
    )  # fmt: skip


@train.planner
def plan(spec: Train) -> dict[str, Any]:
    """What a training would take, from the headers of its imagery."""
    from swath.imagery.sources.scene_checks import check_files
    from swath.training.estimate import estimate

    images = find_images(spec.data, bands=spec.bands, classes=spec.classes, units=spec.units)
    check_files(image.scenes for image in images)
    make_split_rule(images, split=spec.split, seed=spec.seed)
    windows = cut_windows(images)
    numbers = estimate(images, windows, len(spec.bands), spec.sampling, spec.epochs)
    return {**numbers, "network": spec.network.name, "output": spec.output.to}
