"""Headers of TIFF and BigTIFF."""

from __future__ import annotations

import numpy as np

from swath.maps.cog.tiff_header import Level, build_header


def test_a_file_above_four_gigabytes_is_a_bigtiff_and_others_are_not() -> None:
    def start(size: int) -> bytes:
        levels = [Level(65536, 65536, np.full(128 * 128, size, np.uint64)), Level(512, 512, np.full(1, 9, np.uint64))]
        return build_header([], levels, 512, 1)[:4]

    assert start(200_000) == b"II*\0"
    assert start(300_000) == b"II+\0"
