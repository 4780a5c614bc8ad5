"""A small synthetic training: water is where the second band is brighter than the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.network import Augmentation, BestEpoch, LossTerm, Network, Optimizer
from swath.training.chips.band_statistics import BandMoments
from swath.training.loop.epochs import Epoch
from swath.training.loop.export import ExportedNetwork
from swath.training.loop.prefetch import NetworkBatch
from swath.training.loop.settings import TrainSettings
from swath.training.loop.trainer import TrainingData
from swath.training.model_record import ModelRecord, TrainingImage

CLASSES = ("land", "water")


def example_batch(number: int, *, count: int = 4, edge: int = 32) -> NetworkBatch:
    """A batch that depends on its number alone."""
    random = np.random.default_rng(number)
    coarse = random.standard_normal((count, 3, edge // 8, edge // 8)).astype(np.float32)
    pixels = np.ascontiguousarray(coarse.repeat(8, axis=2).repeat(8, axis=3))
    labels = (pixels[:, 1] > pixels[:, 0]).astype(np.uint8)
    labels[:, :4] = IGNORE_INDEX
    return NetworkBatch(pixels, labels)


def validation() -> Iterator[NetworkBatch]:
    """Two windows that are in no batch of a step."""
    yield example_batch(1_000_001)
    yield example_batch(1_000_002, count=1, edge=64)


def data() -> TrainingData:
    return TrainingData(example_batch, validation, 2)


def settings(**changed: Any) -> TrainSettings:
    """A short training."""
    return TrainSettings(
        **{
            "network": Network(width=4, depth=1),
            "bands": 3,
            "classes": CLASSES,
            "loss": (LossTerm(name="cross_entropy"),),
            "class_weights": ((1.0, 1.0),),
            "augment": Augmentation(band_dropout=0.1),
            "optimizer": Optimizer(learning_rate=0.02),
            "best": BestEpoch(),
            "epochs": 2,
            "epoch_steps": 3,
            "seed": 1,
            "threads": 1,
            **changed,
        }
    )


BEST = Epoch(2, 6, 0.5, 0.001, 3.0, 0.6, ((80, 10), (5, 105)), (80 / 95, 105 / 120), 0.86, 0.925)


def record() -> ModelRecord:
    moments = BandMoments.of(np.random.default_rng(1).normal(50, 9, (3, 400)).astype(np.float32))
    statistics = [{"mean": m, "stddev": 9.0, "minimum": 1.0, "maximum": 99.0} for m in moments.mean.tolist()]
    return ModelRecord(
        name="water", bands=("green", "red", "nir"), units="dn", scaling=moments.value_scaling(),
        statistics=tuple(statistics), colors=("E6DFC8", "2B7BBA"), resolution_m=30.0, settings=settings(),
        split={"split": {"by": "columns"}, "seed": 1}, sampling={"chip": 32, "batch": 4},
        pixels={"train": (900, 100), "validation": (90, 110), "test": (0, 0)},
        sources=(TrainingImage("scene <1>", None, "weak labels by the rule a > b", (10.0, 50.0, 11.0, 51.0)),), licence="CC0-1.0",
        history=(dataclasses.replace(BEST, number=1), BEST), best=BEST, exported=ExportedNetwork(1234, 2, "ab" * 32, False),
        seconds=12.0, data_wait=0.01, software={"torch": "2.13.0+cpu"}, git="c0ffee",
    )  # fmt: skip
