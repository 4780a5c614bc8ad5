"""What a training is told, and what it comes to: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from swath.spec.fields.network import Augmentation, BestEpoch, LossTerm, Network, Optimizer
from swath.training.loop.epochs import Epoch

if TYPE_CHECKING:
    from swath.models.device import Device

TrainPrecision = Literal["32", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a training depends on beside its batches."""

    network: Network
    bands: int
    classes: tuple[str, ...]
    loss: tuple[LossTerm, ...]
    class_weights: tuple[tuple[float, ...], ...]
    """Of each part of the loss, for each class."""
    augment: Augmentation
    optimizer: Optimizer
    best: BestEpoch
    epochs: int
    epoch_steps: int
    seed: int
    precision: TrainPrecision = "32"
    device: Device = "cpu"
    threads: int = 2
    """Of the processor. The weights depend on it in their last bits."""

    @property
    def steps(self) -> int:
        """All in all."""
        return self.epochs * self.epoch_steps


@dataclass(frozen=True)
class TrainResult:
    """What a training came to."""

    weights: bytes
    """Of the best epoch, as .safetensors."""
    history: tuple[Epoch, ...]
    best: Epoch
    seconds: float
    """Of this session; a training that went on counts what came after."""
    waiting: float
    """Share of that time in which the network waited for data."""


def class_weights(part: LossTerm, counts: Sequence[int]) -> tuple[float, ...]:
    """How much each class counts in a part of a loss, from the number of its training pixels. Balanced weights are inverse to
    the counts and have the mean 1 over pixels; a class without pixels has the weight 0."""
    if part.class_weights == "none":
        return (1.0,) * len(counts)
    if part.class_weights == "balanced":
        present = sum(count > 0 for count in counts)
        return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)
    return tuple(float(weight) for weight in part.class_weights)
