"""What is known of a finished training, and the contract of its model: a STAC MLM document that predict and evaluate read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swath.imagery.labels.labels import RasterSource, VectorSource
from swath.maps.legend import legend_from_classes
from swath.maps.stac_item import footprint_and_bbox
from swath.storage.address import redacted
from swath.training.split.split import SPLIT_NAMES

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.imagery.labels.labelled_image import LabelledImage
    from swath.imagery.labels.labels import LabelSource
    from swath.spec.fields.labels import LabelClass
    from swath.spec.fields.sampling import Sampling
    from swath.training.chips.band_statistics import BandMoments
    from swath.training.chips.survey import ChipPlan
    from swath.training.loop.epochs import Epoch
    from swath.training.loop.export import ExportedNetwork
    from swath.training.loop.settings import TrainResult, TrainSettings

FRAMEWORK = "PyTorch"
DEGREE_M = 111_320.0


@dataclass(frozen=True)
class TrainingImage:
    """One image that was trained on."""

    id: str
    datetime: str | None
    labels: str
    """Where its labels come from, in words."""
    box: tuple[float, float, float, float] | None
    """West, south, east, north in degrees; None without a CRS."""


@dataclass(frozen=True)
class ModelRecord:
    """Everything that contract, card and report tell of a training."""

    name: str
    bands: tuple[str, ...]
    units: str
    """`dn` or `reflectance`."""
    scaling: tuple[dict[str, Any], ...]
    """MLM value_scaling, one for each band."""
    statistics: tuple[dict[str, float], ...]
    """Of each band over the training pixels, in `units`."""
    colors: tuple[str, ...]
    """Of each class, RGB as six hexadecimal digits."""
    resolution_m: float | None
    course: TrainSettings
    split: dict[str, Any]
    """As in the spec, with the seed: evaluate makes the same split of it."""
    sampling: dict[str, Any]
    pixels: dict[str, tuple[int, ...]]
    """Labelled pixels of each class, by split."""
    sources: tuple[TrainingImage, ...]
    licence: str
    history: tuple[Epoch, ...]
    best: Epoch
    exported: ExportedNetwork
    seconds: float
    waiting: float
    """Share of the time in which the network waited for data."""
    software: dict[str, str] = field(default_factory=dict)
    git: str = ""
    """The project's commit, with `-dirty` when files were changed after it."""

    def metrics(self) -> dict[str, Any]:
        """Of the epoch that was kept, on the whole validation split."""
        best = self.best
        told: dict[str, Any] = {"epoch": best.number, "loss": _rounded(best.loss)}
        if not best.counts:
            return {"where": "nothing was held back", **told}
        return {
            "where": "the whole validation split, one confusion matrix; rows are labels",
            **told,
            "validation_loss": _rounded(best.validation_loss),
            "iou": dict(zip(self.course.classes, map(_rounded, best.iou), strict=True)),
            "mean_iou": _rounded(best.mean_iou),
            "accuracy": _rounded(best.accuracy),
            "confusion": [list(row) for row in best.counts],
        }

    def numbers(self) -> dict[str, float | int | str]:
        """For tables that compare trainings."""
        iou = {f"IoU {name}": value for name, value in zip(self.course.classes, self.best.iou, strict=False)}
        found = {"mean IoU": self.best.mean_iou, **iou, "loss": self.best.loss, "epoch": self.best.number}
        kept: dict[str, float | int | str] = {
            name: round(value, 4) for name, value in found.items() if value is not None
        }
        return {**kept, "model": self.exported.sha256[:12]}


def contract_document(record: ModelRecord) -> dict[str, Any]:
    """The contract as JSON values."""
    course, bands = record.course, list(record.bands)
    document: dict[str, Any] = {
        "mlm:name": record.name,
        "mlm:architecture": course.network.name,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": FRAMEWORK,
        "mlm:framework_version": record.software.get("torch", "").partition("+")[0],
        "mlm:total_parameters": record.exported.parameters,
        "mlm:pretrained": True,
        "mlm:pretrained_source": course.network.weights or "trained from random weights",
        "mlm:batch_size_suggestion": record.sampling.get("batch"),
        "mlm:input": [
            {
                "name": "image",
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands), -1, -1],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [dict(each) for each in record.scaling],
                "statistics": [dict(each) for each in record.statistics],
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, len(course.classes), -1, -1],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": value, "name": name, "color_hint": color}
                    for value, (name, color) in enumerate(zip(course.classes, record.colors, strict=True))
                ],
                "post_processing_function": None,
            }
        ],
        "mlm:hyperparameters": hyperparameters(record),
        "swath:units": record.units,
        "swath:output": "classes",
        "swath:dtype": "uint8",
        "swath:nodata": 255,
        "swath:metrics": record.metrics(),
        "swath:training_data": "; ".join(
            f"{each.id}{f', {each.datetime}' if each.datetime else ''}: {each.labels}" for each in record.sources
        ),
        "swath:training": {
            "split": record.split,
            "sampling": record.sampling,
            "pixels": {name: list(counts) for name, counts in record.pixels.items()},
            "scenes": [{"id": s.id, "datetime": s.datetime, "bbox": s.box and list(s.box)} for s in record.sources],
            "weights_sha256": record.exported.sha256,
            "software": record.software,
            **({"git_commit": record.git} if record.git else {}),
        },
        "swath:licence": record.licence,
    }
    if record.resolution_m is not None:
        document["swath:resolution_m"] = record.resolution_m
    return document


def hyperparameters(record: ModelRecord) -> dict[str, Any]:
    """What decided how the network learned."""
    course = record.course
    return {
        "network": course.network.model_dump(exclude_defaults=True) | {"name": course.network.name},
        "loss": [part.model_dump(mode="json") for part in course.loss],
        "class_weights": [list(map(_rounded, each)) for each in course.class_weights],
        "augment": course.augment.model_dump(),
        "optimizer": course.optimizer.model_dump(),
        "epochs": course.epochs,
        "steps": course.steps,
        "seed": course.seed,
        "precision": course.precision,
        "device": course.device,
        "threads": course.threads,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def make_record(
    name: str,
    learned: TrainResult,
    exported: ExportedNetwork,
    course: TrainSettings,
    plan: ChipPlan,
    classes: tuple[LabelClass, ...],
    sampling: Sampling,
    licence: str,
    software: dict[str, str],
    git: str,
) -> ModelRecord:
    """Everything that is known of a training once its network is written."""
    moments = plan.moments
    statistics = tuple(
        {
            "minimum": float(low),
            "maximum": float(high),
            "mean": float(mean),
            "stddev": float(deviation),
            "count": moments.count,
        }
        for low, high, mean, deviation in zip(moments.low, moments.high, moments.mean, moments.stddev, strict=True)
    )
    return ModelRecord(
        name=name,
        bands=plan.images[0].scenes.bands,
        units="reflectance" if plan.reflectance else "dn",
        scaling=value_scaling(moments),
        statistics=statistics,
        colors=tuple(each.hex.removeprefix("#").upper() for each in legend_from_classes(classes)),
        resolution_m=resolution_m(plan.images[0].scenes.image),
        course=course,
        split=plan.split.document(),
        sampling=sampling.model_dump(mode="json"),
        pixels={name: tuple(counts) for name, counts in zip(SPLIT_NAMES, plan.counts.tolist(), strict=True)},
        sources=tuple(_source(image) for image in plan.images),
        licence=licence,
        history=learned.history,
        best=learned.best,
        exported=exported,
        seconds=learned.seconds,
        waiting=learned.waiting,
        software=software,
        git=git,
    )


def value_scaling(moments: BandMoments) -> tuple[dict[str, Any], ...]:
    """MLM value_scaling that brings each band to mean 0 and standard deviation 1, in numbers that a contract writes out whole. A
    band of one value everywhere is only shifted."""
    return tuple(
        {"type": "z-score", "mean": _rounded(float(mean)), "stddev": _rounded(float(deviation)) or 1.0}
        for mean, deviation in zip(moments.mean, moments.stddev, strict=True)
    )


def resolution_m(image: GeoBox) -> float | None:
    """Edge of a pixel on the ground, in metres, at the middle of an image; None without a CRS."""
    if image.crs is None:
        return None
    size = math.sqrt(abs(image.affine.determinant))
    if image.crs.geographic:
        latitude = image.extent.boundingbox.bbox[1] / 2 + image.extent.boundingbox.bbox[3] / 2
        return _rounded(size * DEGREE_M * math.sqrt(math.cos(math.radians(latitude))))
    return _rounded(size)


def _source(image: LabelledImage) -> TrainingImage:
    scene = image.scenes.scenes[0]
    _, box = footprint_and_bbox(image.scenes.image)
    return TrainingImage(
        scene.id, scene.datetime, labels_text(image.labels), None if box is None else (box[0], box[1], box[2], box[3])
    )


def labels_text(labels: LabelSource) -> str:
    """Where labels come from, in words."""
    source = labels.source
    if isinstance(source, VectorSource):
        return f"features of {redacted(source.path)}{f' where {source.where}' if source.where else ''}"
    if isinstance(source, RasterSource):
        return f"raster {redacted(source.band.href)}"
    return f"weak labels by the rule {source.text}"
