"""How sure the model is: its numbers as the probability of each class, in the few bits that a map of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import Contract
from swath.spec.fields.output import Activation, Probabilities

BYTE_SCALE = 250
"""A byte of 250 is a probability of 1. 251 to 254 are not used."""
BYTE_NODATA = 255
_SLACK = 1e-3
"""A network that ends in softmax or sigmoid stays within 0..1 but for the last bits of its arithmetic, in half precision too."""


@dataclass(frozen=True)
class ProbabilityBands:
    """What a file of probabilities holds: one band for each class that was asked for, in the contract's order."""

    names: tuple[str, ...]
    """Of the bands: the classes' names."""
    indices: tuple[int, ...]
    """Places of these classes among the contract's."""
    activation: Activation
    """What turns the network's numbers into probabilities."""
    dtype: str
    nodata: float
    """255 for bytes, else NaN."""
    scale: float
    """Probability = number * scale; the bands' GDAL scale, with offset 0."""


def probability_layers(contract: Contract, choice: Probabilities) -> ProbabilityBands:
    """The bands that `choice` asks for. Raises ModelError when this model has no such class, or none at all.

    Not said otherwise, several channels are taken as logits (softmax), and the one channel of a contract with a
    threshold as the probability that it says it is.
    """
    names = tuple(each.name for each in contract.classes)
    if contract.output != "classes":
        raise ModelError(
            f"{contract.name}: a model of values has no probabilities", remedy="leave output.probabilities out"
        )
    if strangers := [name for name in choice.classes if name not in names]:
        raise ModelError(
            f"{contract.name}: no class is called {', '.join(strangers)}",
            remedy=f"output.probabilities.classes are of {', '.join(names)}",
        )
    single = contract.threshold is not None
    if single and choice.activation == "softmax":
        raise ModelError(
            f"{contract.name}: softmax over one channel is always 1",
            remedy="set output.probabilities.activation to sigmoid, or to none where the channel is a probability",
        )
    indices = tuple(n for n, name in enumerate(names) if not choice.classes or name in choice.classes)
    byte = choice.dtype == "uint8"
    return ProbabilityBands(
        names=tuple(names[n] for n in indices),
        indices=indices,
        activation=choice.activation or ("none" if single else "softmax"),
        dtype=choice.dtype,
        nodata=BYTE_NODATA if byte else float("nan"),
        scale=1 / BYTE_SCALE if byte else 1.0,
    )


def encode_probabilities(
    output: NDArray[np.float32], valid: NDArray[np.bool_], contract: Contract, layers: ProbabilityBands
) -> NDArray[Any]:
    """What the network gives (channels, h, w) as `layers`: (bands, h, w) of their dtype.

    Nodata, in all bands: where `valid` (h, w) is false, and where the network gives NaN, or infinities that have no
    probability. A NaN is never a number. Each pixel depends on itself alone, so pieces can be cut anywhere.

    Raises ModelError where `activation` is none and a number is no probability.
    """
    if layers.activation == "none":
        _check_range(output, valid, contract)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities become NaN, which is looked at below
        known = valid & ~np.isnan(output).any(axis=0)
        if contract.threshold is not None:
            chance = _sigmoid(output[0]) if layers.activation == "sigmoid" else output[0]
            chances = np.stack([1 - chance if index == 0 else chance for index in layers.indices])
        elif layers.activation == "softmax":
            powers = np.exp(output - output.max(axis=0))
            total = powers.sum(axis=0)
            chances = powers[list(layers.indices)] / total
        else:
            chosen = output[list(layers.indices)]
            chances = _sigmoid(chosen) if layers.activation == "sigmoid" else chosen
    known &= ~np.isnan(chances).any(axis=0)
    chances = np.clip(chances, 0, 1)
    # Whether the processor counts below this hangs on what other libraries have set in a thread; a map may not.
    chances[chances < np.finfo(np.float32).tiny] = 0
    if layers.dtype != "uint8":
        floats: NDArray[Any] = np.where(known, chances, np.nan).astype(layers.dtype)
        return floats
    chances[:, ~known] = 0
    encoded: NDArray[Any] = np.rint(chances * np.float32(BYTE_SCALE)).astype(np.uint8)
    encoded[:, ~known] = BYTE_NODATA
    return encoded


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without overflow: the exponent is never positive."""
    small = np.exp(-np.abs(values))
    result: NDArray[np.float32] = np.where(values >= 0, 1, small) / (1 + small)
    return result


def _check_range(output: NDArray[np.float32], valid: NDArray[np.bool_], contract: Contract) -> None:
    wrong = ((output < -_SLACK) | (output > 1 + _SLACK)) & valid
    if wrong.any():
        raise ModelError(
            f"{contract.name}: the model gives {output[wrong][0]:g}, which is no probability",
            remedy="set output.probabilities.activation to softmax or sigmoid, whichever its numbers need",
        )
