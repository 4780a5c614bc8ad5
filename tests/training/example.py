"""A small synthetic training: water is where the second band is brighter than the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.network import Augmentation, BestEpoch, LossTerm, Network, Optimizer
from swath.training.loop.prefetch import NetworkBatch
from swath.training.loop.settings import TrainSettings
from swath.training.loop.trainer import TrainingData

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
