"""TrainSettings and TrainResult: what a training takes beside its data, and what it gives, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from swath.spec.fields.network import Augmentation, BestEpoch, LossTerm, Network, Optimizer
from swath.training.loop.epochs import Epoch
from swath.training.loop.network_source import NO_SOURCE, NetworkSource

if TYPE_CHECKING:
    from swath.models.device import Device

TrainPrecision = Literal["32", "bf16-mixed", "16-mixed"]
"""Lightning's names of precisions."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that the weights depend on beside the batches."""

    network: Network
    bands: int
    classes: tuple[str, ...]
    loss: tuple[LossTerm, ...]
    class_weights: tuple[tuple[float, ...], ...]
    """For each term of the loss, the weight of each class."""
    augment: Augmentation
    optimizer: Optimizer
    best: BestEpoch
    epochs: int
    epoch_steps: int
    seed: int
    precision: TrainPrecision = "32"
    device: Device = "cpu"
    threads: int = 2
    """CPU threads of torch. The last bits of the weights depend on it."""
    source: NetworkSource = NO_SOURCE
    """Code and initial weights of the network."""

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.epoch_steps


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    weights: bytes
    """Of the best epoch, as .safetensors."""
    history: tuple[Epoch, ...]
    """All epochs."""
    best: Epoch
    seconds: float
    """Time of this process; of a resumed training, since it was resumed."""
    data_wait: float
    """Share of that time in which the network waited for batches, 0 to 1."""


def class_weights(term: LossTerm, counts: Sequence[int]) -> tuple[float, ...]:
    """Weight of each class in a term of the loss, from the number of its training pixels. Balanced weights are inverse to
    the counts and have the mean 1 over pixels; a class without pixels has the weight 0."""
    if term.class_weights == "none":
        return (1.0,) * len(counts)
    if term.class_weights == "balanced":
        present = sum(count > 0 for count in counts)
        return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)
    return tuple(float(weight) for weight in term.class_weights)
