"""Blending of overlapping tiles, for networks whose output depends on the whole tile (attention, group or instance norm).

The output of such a network at a pixel depends on the tile that the pixel is in, so no halo makes it exact. But the tiles lie on one
lattice (lattice.py), so the map is the same to the last bit however it is cut into regions and calls, and blending makes the
change from tile to tile smooth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window
from swath.models.lattice import Lattice

NEAR = 8
"""Distance in pixels from a border up to which the steps between neighbours are compared with the step across it."""


def blended(
    run: Callable[[Window], NDArray[np.float32]],
    lattice: Lattice,
    valid: NDArray[np.bool_],
    source: Window,
    inner: Window,
    image: tuple[int, int],
) -> NDArray[np.float32] | None:
    """The network's output (channels, h, w), float32, inside `inner`; None when no tile has a valid pixel.

    `run` gives the network's output of a tile (channels, at least the tile's height, width). `valid` (H, W) covers `source`,
    which has all tiles that count for pixels of `inner`: `lattice.edge` pixels around it, or up to the image's edges. `image` is
    the whole image's (height, width).

    A pixel is the sum of its tiles' outputs times their weights, in float32 and in the order of the tiles, so it has the same
    bits whichever window asks. Tiles without a valid pixel are left out: none of their pixels is mapped.
    """
    total: NDArray[np.float32] | None = None
    for row in lattice.touching(inner.row, inner.stop_row, image[0]):
        for col in lattice.touching(inner.col, inner.stop_col, image[1]):
            (top, bottom), (left, right) = lattice.tile(row, image[0]), lattice.tile(col, image[1])
            tile = Window(top, left, bottom - top, right - left)
            if tile.intersection(source) != tile:
                raise ValueError(f"{source} does not contain {tile}, which has pixels of {inner}")
            if not valid[tile.within(source)].any():
                continue
            (top, bottom), (left, right) = lattice.core(row, image[0]), lattice.core(col, image[1])
            core = Window(top, left, bottom - top, right - left).intersection(inner)
            if core is None:
                continue
            weights = np.outer(
                lattice.weights(row, image[0])[core.row - top : core.stop_row - top],
                lattice.weights(col, image[1])[core.col - left : core.stop_col - left],
            )
            output = run(tile)[:, *core.within(tile)]
            if total is None:
                total = np.zeros((len(output), *inner.shape), np.float32)
            total[:, *core.within(inner)] += output * weights
    return total


def seam_excess(values: NDArray[np.generic], rows: Iterable[int], columns: Iterable[int]) -> float:
    """How much larger steps between neighbouring pixels are across borders than beside them: 1.0 means that borders do not show.

    `values` (h, w) or (channels, h, w). A border at `rows` r lies between r - 1 and r. The step is the mean absolute difference
    of the two pixels; of classes (integer `values`), the share that differ. The mean step across all borders is divided by the mean
    step of the neighbours 2 to NEAR pixels from these borders, so that both have the same image content. NaN where there is
    nothing to compare, infinity where all steps are at borders.
    """
    layers = values if values.ndim == 3 else values[None]
    across = beside = 0.0
    pairs = others = 0
    for axis, borders in ((1, rows), (2, columns)):
        length = layers.shape[axis]
        inside = [border for border in borders if 0 < border < length]
        control = [
            place
            for border in inside
            for distance in range(2, NEAR + 1)
            for place in (border - distance, border + distance)
            if 0 < place < length and place not in inside
        ]
        for places, is_border in ((inside, True), (control, False)):
            if not places:
                continue
            one, other = (np.take(layers, np.array(places) - shift, axis) for shift in (1, 0))
            steps = np.abs(other - one) if layers.dtype.kind == "f" else other != one
            known = np.isfinite(steps)
            if is_border:
                across, pairs = across + float(steps[known].sum(dtype=np.float64)), pairs + int(known.sum())
            else:
                beside, others = beside + float(steps[known].sum(dtype=np.float64)), others + int(known.sum())
    if not pairs or not others or across == beside == 0:
        return float("nan")
    return (across / pairs) / (beside / others) if beside else float("inf")
