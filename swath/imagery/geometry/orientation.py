"""Which way up a grid is drawn: quarter turns and mirrors that bring north to the top of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from affine import Affine


@dataclass(frozen=True)
class Orientation:
    """How the rows and columns of a grid become those of a picture with north at the top, to the nearest quarter turn."""

    transposed: bool = False
    """Columns become rows, before the flips."""
    flip_rows: bool = False
    flip_cols: bool = False
    north_deg: float = 0.0
    """Direction of north in the picture, clockwise from up; -45..45."""

    @classmethod
    def of(cls, affine: Affine, *, georeferenced: bool = True) -> Orientation:
        """Of a grid's transform from (column, row) to (x, y), where y grows to the north; without a CRS, row 0 is at the top."""
        if not georeferenced:
            return cls()
        a, b, d, e = affine.a, affine.b, affine.d, affine.e
        transposed = abs(b) > abs(a)
        if transposed:
            a, b, d, e = b, a, e, d
        flip_rows, flip_cols = e > 0, a < 0
        b, e = (-b, -e) if flip_rows else (b, e)
        a, d = (-a, -d) if flip_cols else (a, d)
        # (column, row) of a step to the north: a * col + b * row = 0, d * col + e * row = 1.
        determinant = a * e - b * d
        col, row = -b / determinant, a / determinant
        return cls(transposed, flip_rows, flip_cols, math.degrees(math.atan2(col, -row)))

    def apply(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A picture (rows, columns, ...) of the grid, north at the top."""
        if self.transposed:
            picture = np.swapaxes(picture, 0, 1)
        if self.flip_rows:
            picture = picture[::-1]
        if self.flip_cols:
            picture = picture[:, ::-1]
        return picture
