"""ModelRecord: the facts of a finished training, from which contract, model card and report are written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shapely.geometry import mapping, shape

from swath.imagery.geometry.footprint import area_footprint
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
    from swath.training.chips.chip_plan import ChipPlan
    from swath.training.loop.epochs import Epoch
    from swath.training.loop.export import ExportedNetwork
    from swath.training.loop.settings import TrainResult, TrainSettings

DEGREE_M = 111_320.0
"""Metres of a degree at the equator."""


@dataclass(frozen=True)
class TrainingImage:
    """One labelled image of the training."""

    id: str
    datetime: str | None
    labels: str
    """Where its labels come from, as a phrase."""
    box: tuple[float, float, float, float] | None
    """West, south, east, north in degrees; None without a CRS."""
    geometry: dict[str, Any] | None = None
    """GeoJSON of the footprint in degrees, cut by the training's area; None without a CRS."""


@dataclass(frozen=True)
class ModelRecord:
    """A finished training."""

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
    settings: TrainSettings
    split: dict[str, Any]
    """As in the spec, with the seed: evaluate rebuilds the same split from it."""
    sampling: dict[str, Any]
    pixels: dict[str, tuple[int, ...]]
    """Labelled pixels of each class, by split."""
    sources: tuple[TrainingImage, ...]
    licence: str
    history: tuple[Epoch, ...]
    best: Epoch
    exported: ExportedNetwork
    seconds: float
    data_wait: float
    """Share of that time in which the network waited for data, 0 to 1."""
    software: dict[str, str] = field(default_factory=dict)
    git: str = ""
    """The project's commit at the start of the training, with `-dirty` when files were changed after it."""

    def metrics(self) -> dict[str, Any]:
        """Metrics of the best epoch on the whole validation split."""
        best = self.best
        common: dict[str, Any] = {"epoch": best.number, "loss": round_significant(best.loss)}
        if not best.counts:
            return {"where": "no validation split", **common}
        return {
            "where": "the whole validation split, one confusion matrix; rows are labels",
            **common,
            "validation_loss": round_significant(best.validation_loss),
            "iou": dict(zip(self.settings.classes, map(round_significant, best.iou), strict=True)),
            "mean_iou": round_significant(best.mean_iou),
            "accuracy": round_significant(best.accuracy),
            "confusion": [list(row) for row in best.counts],
        }

    def numbers(self) -> dict[str, float | int | str]:
        """Numbers for tables that compare trainings."""
        iou = {f"IoU {name}": value for name, value in zip(self.settings.classes, self.best.iou, strict=False)}
        values = {"mean IoU": self.best.mean_iou, **iou, "loss": self.best.loss, "epoch": self.best.number}
        numbers: dict[str, float | int | str] = {
            name: round(value, 4) for name, value in values.items() if value is not None
        }
        return {**numbers, "model": self.exported.sha256[:12]}


def round_significant(value: float | None) -> float | None:
    """Rounded to six significant digits, as numbers are written into contracts."""
    return None if value is None else float(f"{value:.6g}")


def make_record(
    name: str,
    result: TrainResult,
    exported: ExportedNetwork,
    settings: TrainSettings,
    plan: ChipPlan,
    classes: tuple[LabelClass, ...],
    sampling: Sampling,
    licence: str,
    software: dict[str, str],
    git: str,
) -> ModelRecord:
    """The record of a training whose network was exported."""
    moments = plan.moments
    return ModelRecord(
        name=name,
        bands=plan.images[0].scenes.bands,
        units="reflectance" if plan.reflectance else "dn",
        scaling=moments.value_scaling(),
        statistics=moments.statistics(),
        colors=tuple(each.hex.removeprefix("#").upper() for each in legend_from_classes(classes)),
        resolution_m=resolution_m(plan.images[0].scenes.image),
        settings=settings,
        split=plan.split.document(),
        sampling=sampling.model_dump(mode="json"),
        pixels={name: tuple(counts) for name, counts in zip(SPLIT_NAMES, plan.counts.tolist(), strict=True)},
        sources=tuple(_training_image(image) for image in plan.images),
        licence=licence,
        history=result.history,
        best=result.best,
        exported=exported,
        seconds=result.seconds,
        data_wait=result.data_wait,
        software=software,
        git=git,
    )


def resolution_m(image: GeoBox) -> float | None:
    """Edge of a pixel on the ground, in metres, at the middle of an image; None without a CRS."""
    if image.crs is None:
        return None
    size = math.sqrt(abs(image.affine.determinant))
    if image.crs.geographic:
        latitude = image.extent.boundingbox.bbox[1] / 2 + image.extent.boundingbox.bbox[3] / 2
        return round_significant(size * DEGREE_M * math.sqrt(math.cos(math.radians(latitude))))
    return round_significant(size)


def _training_image(image: LabelledImage) -> TrainingImage:
    scene = image.scenes.scenes[0]
    geometry, bounds = footprint_and_bbox(image.scenes.image)
    if geometry is not None and image.labels.area is not None:
        geometry = mapping(shape(geometry).intersection(area_footprint(image.labels.area)))
    box = None if bounds is None else (bounds[0], bounds[1], bounds[2], bounds[3])
    return TrainingImage(scene.id, scene.datetime, labels_text(image.labels), box, geometry)


def labels_text(labels: LabelSource) -> str:
    """Where labels come from, as a phrase."""
    source = labels.source
    if isinstance(source, VectorSource):
        return f"features of {redacted(source.path)}{f' where {source.where}' if source.where else ''}"
    if isinstance(source, RasterSource):
        return f"raster {redacted(source.band.href)}"
    return f"weak labels by the rule {source.text}"
