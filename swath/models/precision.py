"""Agreement of a network in reduced precision, on a GPU or in another runtime with the same weights in float32 on the CPU, run by the
runtime of their format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window
from swath.models.contract import ModelInfo, native_runtime
from swath.models.infer import network_output
from swath.models.load import load_model


@dataclass(frozen=True)
class Agreement:
    """How many of the compared pixels agree."""

    pixels: int
    same: int
    """Pixels that have the same class; of maps of values, numbers that differ by less than a thousandth of their spread."""
    largest: float
    """The largest difference of the outputs at one pixel, in the network's units."""

    @property
    def share(self) -> float:
        """0 to 1; NaN when no pixel was compared."""
        return self.same / self.pixels if self.pixels else float("nan")

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.pixels + other.pixels, self.same + other.same, max(self.largest, other.largest))


def agreement(
    info: ModelInfo, pixels: NDArray[Any], valid: NDArray[np.bool_], source: Window, inner: Window
) -> Agreement:
    """Compare `info` as it is with the same weights in float32 on the CPU, inside `inner`. Arguments as in `infer`."""
    exact = replace(info, precision="float32", device="cpu", runtime=native_runtime(info.format))
    one, other = (network_output(load_model(model), model, pixels, valid, source, inner) for model in (info, exact))
    return compare(one, other, valid[inner.within(source)], info)


def compare(
    one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], info: ModelInfo
) -> Agreement:
    """Compare two outputs (channels, h, w) for the same pixels, where `valid` (h, w) and both are finite."""
    known = valid & np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0)
    if not known.any():
        return Agreement(0, 0, 0.0)
    contract = info.contract
    if contract.output == "values":
        spread = np.ptp(other[:, known], axis=1)[:, None, None]
        same = (np.abs(one - other) <= spread / 1000).all(axis=0)
    elif contract.threshold is not None:
        limit = np.float32(contract.threshold)
        same = (one[0] >= limit) == (other[0] >= limit)
    else:
        same = one.argmax(axis=0) == other.argmax(axis=0)
    return Agreement(int(known.sum()), int((same & known).sum()), float(np.abs(one - other)[:, known].max()))
