"""Network input: pixels scaled by a contract's value_scaling, 0 where not valid, padded to the network's stride.

Training and prediction call the same function, so a network is trained on the numbers that it gets for a map, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError

FILL = np.float32(0)
"""Value after scaling where there is no valid pixel, and in the padding."""


def prepare(
    pixels: NDArray[Any], valid: NDArray[np.bool_], scaling: Sequence[dict[str, Any]], stride: int, smallest: int = 1
) -> NDArray[np.float32]:
    """Images for the network: float32 (N, bands, H', W'), in channels-last memory.

    `pixels` (N, bands, H, W) of any number type, in the contract's units; `valid` (N, H, W). `scaling` are MLM value_scaling objects:
    none, one for all bands, or one per band. H' and W' are H and W padded at the bottom and the right to multiples of `stride`, and
    to `smallest`, which is one.
    Raises ModelError for a type of scaling that is not in swath.models.contract_scaling.VALUE_SCALINGS.
    """
    count, height, width = valid.shape
    bands = pixels.shape[1]
    # The first axis is allocated as well: with `[None]` it has a stride of 0, by which torch does not recognise channels-last
    # memory, and convolutions take up to twice as long.
    shape = (count, max(height + -height % stride, smallest), max(width + -width % stride, smallest), bands)
    all_valid = bool(valid.all())
    images = np.empty(shape, np.float32) if all_valid and shape[1:3] == (height, width) else np.full(shape, FILL)
    for band in range(bands):
        target = images[:, :height, :width, band]
        step = _step(scaling, band)
        if not all_valid:
            np.copyto(target, _scaled(pixels[:, band], step), where=valid)
        elif step is not None and step.get("type") == "scale":  # one pass, without a copy
            divisor = np.float32(step["value"])
            np.true_divide(pixels[:, band], divisor, out=target, dtype=np.float32, casting="unsafe")
        else:
            target[...] = _scaled(pixels[:, band], step)
    prepared: NDArray[np.float32] = images.transpose(0, 3, 1, 2)
    return prepared


def _step(scaling: Sequence[dict[str, Any]], band: int) -> dict[str, Any] | None:
    if len(scaling) == 1:
        return scaling[0]
    return scaling[band] if band < len(scaling) else None


def _scaled(band: NDArray[Any], step: dict[str, Any] | None) -> NDArray[np.float32]:
    """A copy of one band (N, H, W), scaled in float32."""
    scaled: NDArray[np.float32] = band.astype(np.float32)
    if step is None:
        return scaled
    number = {key: np.float32(value) for key, value in step.items() if key not in ("type", "format", "expression")}
    match step.get("type"):
        case "min-max":
            scaled -= number["minimum"]
            scaled /= number["maximum"] - number["minimum"]
        case "z-score":
            scaled -= number["mean"]
            scaled /= number["stddev"]
        case "clip":
            np.clip(scaled, number["minimum"], number["maximum"], out=scaled)
        case "clip-min":
            np.maximum(scaled, number["minimum"], out=scaled)
        case "clip-max":
            np.minimum(scaled, number["maximum"], out=scaled)
        case "offset":
            scaled -= number["value"]
        case "scale":
            scaled /= number["value"]
        case None:
            pass
        case kind:
            raise ModelError(f"value scaling {kind!r} cannot be applied", remedy="put it into the model")
    return scaled
