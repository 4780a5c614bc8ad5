"""A training, put together: what the survey found and the spec asked for, to what the loop gets and what is published."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import MissingExtra
from swath.graph.call_context import current_run
from swath.models.network_input import prepare
from swath.spec.fields.labels import IGNORE_INDEX
from swath.storage.publication import Published, Staging
from swath.training.chips.chips import ChipBatch, Chips
from swath.training.model_card import render_card
from swath.training.model_record import ModelRecord, contract_document, value_scaling
from swath.training.split.split import VALIDATION

if TYPE_CHECKING:
    from swath.spec.fields.sampling import Sampling
    from swath.training.checkpoints import Checkpoints
    from swath.training.chips.survey import ChipPlan
    from swath.training.loop.export import ExportedNetwork
    from swath.training.loop.prefetch import NetworkBatch
    from swath.training.loop.settings import TrainResult, TrainSettings

AROUND = 32
"""Pixels around what is validated at once that the network sees too, as it does where a map is made. A multiple of most strides."""


def require_package(package: str, extra: str) -> None:
    """Raise MissingExtra where a package is not installed, before anything costs time."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(package, extra, "training a network")


def network_batch(batch: ChipBatch, scaling: Sequence[dict[str, Any]], stride: int = 1) -> NetworkBatch:
    """A batch as predict would give it to the network: scaled, 0 where there is no pixel, filled up at the bottom and the right to
    multiples of `stride`."""
    from swath.training.loop.prefetch import NetworkBatch

    pixels = prepare(batch.pixels, batch.valid, scaling, stride)
    count, height, width = batch.labels.shape
    labels = np.full((count, *pixels.shape[2:]), IGNORE_INDEX, np.uint8)
    labels[:, :height, :width] = np.where(batch.valid, batch.labels, np.uint8(IGNORE_INDEX))
    return NetworkBatch(pixels, labels)


def fit(course: TrainSettings, plan: ChipPlan, sampling: Sampling, checkpoints: Checkpoints) -> TrainResult:
    """Train a network on the chips of a plan. What swath.training.loop.trainer.train_network says holds."""
    from swath.training.loop.networks import build_network, stride_of
    from swath.training.loop.trainer import BEST, LAST, TrainingData, train_network

    chips = Chips(plan, sampling, course.seed)
    scaling = value_scaling(plan.moments)
    stride = stride_of(build_network(course.network, course.bands, len(course.classes)), course.bands)
    checkpoints.fetch()
    return train_network(
        course,
        TrainingData(
            lambda number: network_batch(chips.batch(number), scaling, stride),
            lambda: (network_batch(each, scaling, stride) for each in chips.held(VALIDATION, halo=AROUND)),
            len(chips.windows(VALIDATION, halo=AROUND)),
        ),
        checkpoints.folder,
        kept=lambda: checkpoints.copy(BEST, LAST),
    )


def publish(
    tell: Callable[[ExportedNetwork], ModelRecord],
    course: TrainSettings,
    weights: bytes,
    to: str,
    name: str,
    *,
    onnx: bool,
    checkpoints: Checkpoints,
) -> Published:
    """Write the model's files, and put them in their place, the contract last. `tell` gives what is known of the training, once the
    network is written. Its checkpoints are removed."""
    from swath.training.loop.curves import curves_csv, draw_curves
    from swath.training.loop.export import export_network

    with Staging(to, current_run() or name) as staging:
        folder = staging.folder
        exported = export_network(course.network, course.bands, len(course.classes), weights, folder, name, onnx=onnx)
        record = tell(exported)
        draw_curves(folder / f"{name}-curves.png", record.history, course.classes, record.colors, record.best.number)
        (folder / f"{name}-curves.csv").write_text(curves_csv(record.history, course.classes), encoding="utf-8")
        page = render_card(record, (folder / f"{name}-curves.png").read_bytes())
        (folder / f"{name}-card.html").write_text(page, encoding="utf-8")
        text = json.dumps(contract_document(record), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        published = staging.publish(training_report(record), manifests=(f"{name}.json",))
    checkpoints.remove()
    return published


def training_report(record: ModelRecord) -> dict[str, Any]:
    """For the run's report, and the table that compares runs."""
    return {
        "numbers": record.numbers(),
        "metrics": record.metrics(),
        "training": {
            "parameters": record.exported.parameters,
            "weights": f"SHA-256 {record.exported.sha256}",
            "seconds": round(record.seconds, 1),
            "waiting for data %": round(100 * record.waiting, 2),
        },
        "input": {
            "imagery": [each.id for each in record.sources],
            "labels": sorted({each.labels for each in record.sources}),
            "bands": ", ".join(record.bands),
        },
    }
