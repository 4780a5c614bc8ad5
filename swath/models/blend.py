"""Networks whose pixels depend on the whole tile (attention, group or instance norm): overlapping tiles, blended.

What such a network says of a pixel depends on the tile that the pixel is in, so no halo makes it exact. But the tiles lie on one
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
"""Pixels on both sides of a border with whose own steps the step across it is compared."""


def blended(
    run: Callable[[Window], NDArray[np.float32]],
    lattice: Lattice,
    valid: NDArray[np.bool_],
    source: Window,
    inner: Window,
    image: tuple[int, int],
) -> NDArray[np.float32] | None:
    """What the network says (channels, h, w) inside `inner`; None when no tile has a valid pixel.

    `run` gives what the network says of a tile (channels, at least the tile's height, width). `valid` (H, W) covers `source`,
    which has all tiles that keep pixels of `inner`: `lattice.edge` pixels around it, or up to the image's edges. `image` is
    the whole image's (height, width).

    A pixel is the sum of its tiles' numbers times their weights, in float32 and in the order of the tiles, so it has the same
    bits whichever window asks. Tiles without a valid pixel do not count: none of their pixels is mapped.
    """
    total: NDArray[np.float32] | None = None
    for row in lattice.touching(inner.row, inner.stop_row, image[0]):
        for col in lattice.touching(inner.col, inner.stop_col, image[1]):
            (top, bottom), (left, right) = lattice.tile(row, image[0]), lattice.tile(col, image[1])
            tile = Window(top, left, bottom - top, right - left)
            if tile.intersection(source) != tile:
                raise ValueError(f"{source} does not hold {tile}, which has pixels of {inner}")
            if not valid[tile.within(source)].any():
                continue
            (top, bottom), (left, right) = lattice.kept(row, image[0]), lattice.kept(col, image[1])
            kept = Window(top, left, bottom - top, right - left).intersection(inner)
            if kept is None:
                continue
            weights = np.outer(
                lattice.weights(row, image[0])[kept.row - top : kept.stop_row - top],
                lattice.weights(col, image[1])[kept.col - left : kept.stop_col - left],
            )
            said = run(tile)[:, *kept.within(tile)]
            if total is None:
                total = np.zeros((len(said), *inner.shape), np.float32)
            total[:, *kept.within(inner)] += said * weights
    return total


def seam_excess(values: NDArray[np.generic], rows: Iterable[int], columns: Iterable[int]) -> float:
    """How much more a map or a network's numbers jump across borders than beside them: 1.0 means that borders do not show.

    `values` (h, w) or (channels, h, w). A border at `rows` r lies between r - 1 and r. The jump of two neighbouring pixels is the
    mean absolute difference of their numbers; of classes, where `values` are whole numbers, the share that differ. The mean
    jump across all borders is divided by the mean jump of the neighbours that lie 2 to NEAR pixels from these borders, so that what
    is in the picture there is in both. NaN where there is nothing to compare, infinity where all jumps are at borders.
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
            jumps = np.abs(other - one) if layers.dtype.kind == "f" else other != one
            known = np.isfinite(jumps)
            if is_border:
                across, pairs = across + float(jumps[known].sum(dtype=np.float64)), pairs + int(known.sum())
            else:
                beside, others = beside + float(jumps[known].sum(dtype=np.float64)), others + int(known.sum())
    if not pairs or not others or across == beside == 0:
        return float("nan")
    return (across / pairs) / (beside / others) if beside else float("inf")
