"""fit: train a network on the chips of a plan; publish: write the trained model's files together."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import MissingExtra
from swath.graph.call_context import current_run
from swath.models.network_input import prepare
from swath.project.git import Repository
from swath.spec.fields.labels import IGNORE_INDEX
from swath.storage.publication import Published, Staging
from swath.training.chips.chips import ChipBatch, Chips
from swath.training.model_card import render_card
from swath.training.model_contract import contract_document
from swath.training.model_record import ModelRecord, make_record
from swath.training.split.split import VALIDATION
from swath.version import versions

if TYPE_CHECKING:
    from swath.spec.fields.labels import LabelClass
    from swath.spec.fields.sampling import Sampling
    from swath.training.checkpoints import Checkpoints
    from swath.training.chips.chip_plan import ChipPlan
    from swath.training.loop.prefetch import NetworkBatch
    from swath.training.loop.settings import TrainResult, TrainSettings

VALIDATION_HALO = 32
"""Pixels around a validation window that the network gets too, as it does for a map. A multiple of most strides."""


def require_package(package: str, extra: str) -> None:
    """Raise MissingExtra where a package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(package, extra, "training a network")


def network_batch(batch: ChipBatch, scaling: Sequence[dict[str, Any]], stride: int = 1) -> NetworkBatch:
    """Chips as the network takes them: pixels prepared as for a map, labels IGNORE_INDEX where there is no valid pixel."""
    from swath.training.loop.prefetch import NetworkBatch

    pixels = prepare(batch.pixels, batch.valid, scaling, stride)
    count, height, width = batch.labels.shape
    labels = np.full((count, *pixels.shape[2:]), IGNORE_INDEX, np.uint8)
    labels[:, :height, :width] = np.where(batch.valid, batch.labels, np.uint8(IGNORE_INDEX))
    return NetworkBatch(pixels, labels)


def fit(settings: TrainSettings, plan: ChipPlan, sampling: Sampling, checkpoints: Checkpoints) -> TrainResult:
    """Train a network on the chips of a plan, resuming from `checkpoints`. Raises what train_network raises."""
    from swath.training.loop.export import check_export
    from swath.training.loop.network_check import check_network
    from swath.training.loop.networks import build_network, stride_of
    from swath.training.loop.trainer import BEST, LAST, TrainingData, train_network

    chips = Chips(plan, sampling, settings.seed)
    scaling = plan.moments.value_scaling()
    network = build_network(settings.network, settings.bands, len(settings.classes), source=settings.source)
    stride = stride_of(network, settings.bands, settings.network.name)
    check_network(network, settings.network.name, settings.bands, len(settings.classes))
    check_export(network, settings.network, settings.bands, stride)
    checkpoints.download()
    data = TrainingData(
        lambda step: network_batch(chips.batch(step), scaling, stride),
        lambda: (
            network_batch(each, scaling, stride) for each in chips.split_batches(VALIDATION, halo=VALIDATION_HALO)
        ),
        len(chips.split_windows(VALIDATION, halo=VALIDATION_HALO)),
    )
    return train_network(settings, data, checkpoints.folder, on_checkpoint=lambda: checkpoints.upload(BEST, LAST))


def publish(
    result: TrainResult,
    settings: TrainSettings,
    plan: ChipPlan,
    classes: tuple[LabelClass, ...],
    sampling: Sampling,
    licence: str,
    to: str,
    name: str,
    *,
    onnx: bool,
    commit: str,
    checkpoints: Checkpoints,
) -> Published:
    """Write the model NAME and what describes it, and publish all files in the folder `to`, the contract last. `commit` is the
    project's at the start of the training. The checkpoints are
    removed. Raises what export_network and publishing raise."""
    from swath.training.loop.curves import curves_csv, draw_curves
    from swath.training.loop.export import export_network

    with Staging(to, current_run() or name) as staging:
        folder = staging.folder
        exported = export_network(
            settings.network, settings.bands, len(settings.classes), result.weights, folder, name, onnx=onnx,
            source=settings.source,
        )  # fmt: skip
        record = make_record(name, result, exported, settings, plan, classes, sampling, licence, versions(), commit)
        curves = folder / f"{name}-curves.png"
        draw_curves(curves, record.history, settings.classes, record.colors, record.best.number)
        (folder / f"{name}-curves.csv").write_text(curves_csv(record.history, settings.classes), encoding="utf-8")
        (folder / f"{name}-card.html").write_text(render_card(record, curves.read_bytes()), encoding="utf-8")
        text = json.dumps(contract_document(record), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        published = staging.publish(training_report(record), manifests=(f"{name}.json",))
    checkpoints.remove()
    return published


def current_commit() -> str:
    """The commit of the project around the current folder, with `-dirty` when files were changed after it; empty without one."""
    project = Repository.around(Path.cwd())
    return project.described() if project else ""


def training_report(record: ModelRecord) -> dict[str, Any]:
    """What the run's report and the table of variants have of a training."""
    return {
        "numbers": record.numbers(),
        "metrics": record.metrics(),
        "training": {
            "parameters": record.exported.parameters,
            "weights": f"SHA-256 {record.exported.sha256}",
            "seconds": round(record.seconds, 1),
            "waiting for data %": round(100 * record.data_wait, 2),
        },
        "input": {
            "imagery": [each.id for each in record.sources],
            "labels": sorted({each.labels for each in record.sources}),
            "bands": ", ".join(record.bands),
        },
    }
