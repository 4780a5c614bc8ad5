"""Quality masks: names, classes, bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.errors import ImageryError
from swath.imagery.mask import check, usable
from swath.spec.fields import Mask


def test_cloud_means_both_probabilities_and_no_data_is_never_usable() -> None:
    values = np.arange(12)
    good = usable(Mask(band="scl", kind="scl", reject=("cloud",)), values)
    assert values[~good].tolist() == [0, 8, 9]
    good = usable(Mask(band="scl", kind="scl"), values)
    assert values[~good].tolist() == [0, 3, 8, 9, 10]


def test_qa_pixel_bits_are_read_one_by_one() -> None:
    values = np.array([1, 2, 4, 8, 16, 32, 64, 128, 64 | 16], dtype=np.uint16)
    good = usable(Mask(band="qa", kind="qa_pixel", reject=("cloud", "cloud_shadow")), values)
    assert values[~good].tolist() == [1, 8, 16, 80]


def test_the_aleutians_lose_their_clouds(shared: Path) -> None:
    with rasterio.open(shared / "data/labels/aleutians_qa_pixel.tif") as file:
        values = file.read(1)
    good = usable(Mask(band="qa", kind="qa_pixel", reject=("cloud",)), values)
    assert (good == ((values & 0b1001) == 0)).all()
    assert 0.05 < good.mean() < 0.95


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ImageryError, match=r"has no 'clouds' \(did you mean cloud\?\)"):
        check(Mask(band="scl", kind="scl", reject=("clouds",)))
    with pytest.raises(ImageryError, match="It has: fill, dilated_cloud"):
        check(Mask(band="qa", kind="qa_pixel", reject=("vegetation",)))
