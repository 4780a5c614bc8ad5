"""A Part: the finished pixels of one block, small enough to travel and to keep."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.geo import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """Pixels of one block of the map, compressed. Nodata is already in place."""

    index: int
    """The block's index."""
    window: Window
    """In pixels of the image grid."""
    bands: int
    dtype: str
    data: bytes
    """zlib, C order (bands, height, width)."""
    valid: int
    """Number of pixels that are not nodata."""

    @classmethod
    def pack(cls, index: int, window: Window, pixels: NDArray[np.generic], valid: int) -> Part:
        """Compress `pixels` of shape (bands, height, width)."""
        import numpy as np

        if pixels.shape[1:] != window.shape:
            raise ValueError(f"pixels of shape {pixels.shape} do not fit {window}")
        data = zlib.compress(np.ascontiguousarray(pixels).data, 1)
        return cls(index, window, pixels.shape[0], str(pixels.dtype), data, valid)

    def pixels(self) -> NDArray[np.generic]:
        """Array of shape (bands, height, width), read-only."""
        import numpy as np

        flat: NDArray[np.generic] = np.frombuffer(zlib.decompress(self.data), dtype=self.dtype)
        return flat.reshape(self.bands, *self.window.shape)
