"""Class probabilities: the network's output as one band per class, in bytes or floats, with nodata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import Contract
from swath.models.receptive import PROBABILITY_SLACK
from swath.spec.fields.output import Activation, Probabilities

BYTE_SCALE = 250
"""A byte of 250 is a probability of 1. 251 to 254 are not used."""
BYTE_NODATA = 255


@dataclass(frozen=True)
class ProbabilityBands:
    """Layout of a file of probabilities: one band for each requested class, in the contract's order."""

    names: tuple[str, ...]
    """Of the bands: the classes' names."""
    indices: tuple[int, ...]
    """Indices of these classes among the contract's."""
    activation: Activation
    """What turns the network's output into probabilities."""
    dtype: str
    nodata: float
    """255 for bytes, else NaN."""
    scale: float
    """Probability = number * scale; the bands' GDAL scale, with offset 0."""


def probability_bands(contract: Contract, choice: Probabilities, *, applied: bool = False) -> ProbabilityBands:
    """The bands that `choice` asks for. Raises ModelError when this model has no such class, or no classes.

    Without `choice.activation`, several channels are logits (softmax), unless `applied` says that the network ends in softmax or
    sigmoid itself, and the one channel of a contract with a threshold is a probability.
    """
    names = tuple(each.name for each in contract.classes)
    if contract.output != "classes":
        raise ModelError(
            f"{contract.name}: a model of values has no probabilities", remedy="leave output.probabilities out"
        )
    if contract.axes.numbers:
        raise ModelError(
            f"{contract.name}: a model that gives class numbers has no probabilities",
            remedy="leave output.probabilities out, or export the model without its argmax",
        )
    if unknown := [name for name in choice.classes if name not in names]:
        raise ModelError(
            f"{contract.name}: no class is called {', '.join(unknown)}",
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
        activation=choice.activation or ("none" if single or applied else "softmax"),
        dtype=choice.dtype,
        nodata=BYTE_NODATA if byte else float("nan"),
        scale=1 / BYTE_SCALE if byte else 1.0,
    )


def encode_probabilities(
    output: NDArray[np.float32], valid: NDArray[np.bool_], contract: Contract, bands: ProbabilityBands
) -> NDArray[Any]:
    """The network's output (channels, h, w) as probabilities (bands, h, w) of the bands' dtype.

    All bands are nodata where `valid` (h, w) is false, and where the output is NaN or its infinities give no probability. Each pixel
    depends on itself alone, so windows can be cut anywhere.

    Raises ModelError where `activation` is none and a number is not a probability.
    """
    if bands.activation == "none":
        _check_range(output, valid, contract)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities become NaN, which is nodata below
        known = valid & ~np.isnan(output).any(axis=0)
        if contract.threshold is not None:
            probability = _sigmoid(output[0]) if bands.activation == "sigmoid" else output[0]
            probabilities = np.stack([1 - probability if index == 0 else probability for index in bands.indices])
        elif bands.activation == "softmax":
            powers = np.exp(output - output.max(axis=0))
            total = powers.sum(axis=0)
            probabilities = powers[list(bands.indices)] / total
        else:
            selected = output[list(bands.indices)]
            probabilities = _sigmoid(selected) if bands.activation == "sigmoid" else selected
    known &= ~np.isnan(probabilities).any(axis=0)
    probabilities = np.clip(probabilities, 0, 1)
    # Whether the processor flushes smaller numbers to 0 depends on what other libraries set in a thread; a map may not.
    probabilities[probabilities < np.finfo(np.float32).tiny] = 0
    if bands.dtype != "uint8":
        floats: NDArray[Any] = np.where(known, probabilities, np.nan).astype(bands.dtype)
        return floats
    probabilities[:, ~known] = 0
    encoded: NDArray[Any] = np.rint(probabilities * np.float32(BYTE_SCALE)).astype(np.uint8)
    encoded[:, ~known] = BYTE_NODATA
    return encoded


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without overflow: the exponent is never positive."""
    small = np.exp(-np.abs(values))
    result: NDArray[np.float32] = np.where(values >= 0, 1, small) / (1 + small)
    return result


def _check_range(output: NDArray[np.float32], valid: NDArray[np.bool_], contract: Contract) -> None:
    wrong = ((output < -PROBABILITY_SLACK) | (output > 1 + PROBABILITY_SLACK)) & valid
    if wrong.any():
        raise ModelError(
            f"{contract.name}: the model gives {output[wrong][0]:g}, which is not a probability",
            remedy="set output.probabilities.activation to softmax or sigmoid, whichever its numbers need",
        )
