"""Network axes: where bands and channels lie in what a network takes and gives, and outputs of class numbers as one channel a class.

All else of swath has images and outputs as (N, channels, height, width) in float32; here they are brought to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from swath.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHOLE_TYPES = ("uint8", "int8", "uint16", "int16", "int32", "int64")
"""Types of whole numbers that a network may take and give."""
ChannelAxis = Literal["second", "last", "none"]


@dataclass(frozen=True)
class NetworkAxes:
    """How the arrays of a network lie, by its contract."""

    bands_last: bool = False
    """Whether it takes (N, height, width, bands)."""
    channels: ChannelAxis = "second"
    """Which axis of its output holds the channels; `none` for (N, height, width)."""
    numbers: tuple[int, ...] = ()
    """Values of the classes where the output holds class numbers."""
    nodata: int = 255
    """The class number that stands for no class."""
    takes: str = ""
    """Type of whole numbers that it takes, where its file does not say which; empty for numbers with a fraction."""

    def given(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images (N, bands, height, width) as the network takes them."""
        return images.transpose(0, 2, 3, 1) if self.bands_last else images

    def arranged(self, output: NDArray[np.float32], path: str) -> NDArray[np.float32]:
        """An output with its channels as the second axis. Class numbers become one channel a class, 1 where it is the pixel's and 0
        elsewhere, all NaN for `nodata`; so that blended tiles vote. What has other axes is given back as it is.

        Raises ModelError for a number that is no class.
        """
        if self.numbers:
            return self._votes(output, path)
        if self.channels == "none" and output.ndim == 3:
            return output[:, None]
        return output.transpose(0, 3, 1, 2) if self.channels == "last" and output.ndim == 4 else output

    def _votes(self, output: NDArray[np.float32], path: str) -> NDArray[np.float32]:
        import numpy as np

        axis = {"second": 1, "last": 3}.get(self.channels)
        if axis is not None and output.ndim == 4 and output.shape[axis] == 1:
            output = output.squeeze(axis)
        if output.ndim != 3:
            return output
        votes = np.zeros((len(output), len(self.numbers), *output.shape[1:]), np.float32)
        known = np.isnan(output) | (output == self.nodata)
        votes.transpose(0, 2, 3, 1)[known] = np.nan
        for channel, number in enumerate(self.numbers):
            mine = output == number
            votes[:, channel][mine] = 1
            known |= mine
        if not known.all():
            raise ModelError(
                f"{path}: the model gives class number {output[~known][0]:g}, but its contract's classes have the values "
                f"{', '.join(map(str, self.numbers))}",
                remedy="correct the values of mlm:output.0.classification:classes; swath:nodata is the number for no class",
            )
        return votes

    def channels_of(self, shape: tuple[int | None, ...] | None) -> int | None:
        """The channels of an output of this shape, None for a length that varies; None where the shape does not say."""
        if shape is None or self.numbers:
            return None
        if self.channels == "none":
            return 1 if len(shape) == 3 else None
        return shape[3 if self.channels == "last" else 1] if len(shape) == 4 else None


PLAIN = NetworkAxes()
"""Channels second, and one for each class."""
