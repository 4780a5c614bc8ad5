"""Lattice: positions and blending weights of the tiles of a network without a bounded receptive field, along one axis.

The lattice begins at the image's first pixel, never at a region, a block or the area, so a pixel's value does not depend on how the
map is cut. Neighbouring tiles overlap. The outer pixels of each tile are discarded, because they lack context, and its core is
weighted by a Hann window. Where the image ends, the core reaches to the image's edge with full weight. Tiles of a network that takes
images of one size only are all of that size: the last begins earlier, so that it ends with the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EDGE, STEP, DISCARD = 512, 320, 64
"""In pixels, for a network of stride 1."""


@dataclass(frozen=True)
class Lattice:
    """Tiles of `edge` pixels, one every `step` pixels; `discard` pixels at each side of a tile are discarded."""

    edge: int
    step: int
    discard: int
    fixed: bool = False
    """Whether the last tile is as long as the others; else it begins where its number says, and is cut at the image's end."""

    @classmethod
    def of(cls, stride: int, smallest: int = 1) -> Lattice:
        """For a network of this total stride that takes no smaller images than `smallest`: origins and edges are multiples
        of the stride, and the tiles that end with the image are not too small either."""
        step = max(STEP // stride, 1) * stride
        overlap = max(EDGE - STEP, smallest)
        return cls(step + -(-overlap // stride) * stride, step, min(DISCARD, overlap // 3))

    @classmethod
    def of_size(cls, size: int) -> Lattice:
        """For a network that takes images of this height and width only: tiles overlap in the share that those of `of` do."""
        return cls(size, max(size * STEP // EDGE, 1), size * DISCARD // EDGE, fixed=True)

    def last(self, length: int) -> int:
        """The number of the last tile in an image of so many pixels: it ends with the image."""
        return max(0, -(-(length - self.edge) // self.step))

    def tile(self, number: int, length: int) -> tuple[int, int]:
        """First pixel of a tile, and the one after its last."""
        start = number * self.step
        if self.fixed:
            start = max(0, min(start, length - self.edge))
        return start, min(start + self.edge, length)

    def core(self, number: int, length: int) -> tuple[int, int]:
        """As `tile`, without the discarded pixels."""
        start, stop = self.tile(number, length)
        return (
            start + (self.discard if number > 0 else 0),
            stop - (self.discard if number < self.last(length) else 0),
        )

    def touching(self, start: int, stop: int, length: int) -> range:
        """Numbers of the tiles whose core has pixels of start..stop."""
        last = self.last(length)
        final = min(last, max(0, (stop - 1 - self.discard) // self.step))
        if self.fixed and self.core(last, length)[0] < stop:
            final = last
        return range(min(last, max(0, -(-(start + 1 - self.edge + self.discard) // self.step))), final + 1)

    def weights(self, number: int, length: int) -> NDArray[np.float32]:
        """Weights of a tile for the pixels of its core; those of all tiles sum to 1. Always computed for the whole core, so that a
        pixel's weight has the same bits for every caller."""
        import numpy as np

        start, stop = self.core(number, length)
        own = self._hann(number, length)
        total = np.zeros(stop - start)
        for other in self.touching(start, stop, length):
            first, end = self.core(other, length)
            shared = slice(max(first, start), min(end, stop))
            total[shared.start - start : shared.stop - start] += self._hann(other, length)[
                shared.start - first : shared.stop - first
            ]
        result: NDArray[np.float32] = (own / total).astype(np.float32)
        return result

    def _hann(self, number: int, length: int) -> NDArray[np.float64]:
        import numpy as np

        start, stop = self.core(number, length)
        core = self.edge - 2 * self.discard
        at = np.arange(start, stop) - (self.tile(number, length)[0] + self.discard) + 0.5
        if number == 0:
            at = np.maximum(at, core / 2)  # the image's own edge is no border
        if number == self.last(length):
            at = np.minimum(at, core / 2)
        hann: NDArray[np.float64] = np.sin(np.pi * at / core) ** 2
        return hann

    def borders(self, length: int) -> list[int]:
        """Pixels at which the core of a tile begins or ends."""
        last = self.last(length)
        starts = [self.core(number, length)[0] for number in range(1, last + 1)]
        return sorted(starts + [self.core(number, length)[1] for number in range(last)])
