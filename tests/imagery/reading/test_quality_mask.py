"""Quality masks: names, classes, bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.errors import ImageryError
from swath.imagery.reading.quality_mask import check_mask, usable
from swath.spec.fields.imagery import Mask


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
        check_mask(Mask(band="scl", kind="scl", reject=("clouds",)))
    with pytest.raises(ImageryError, match="It has: fill, dilated_cloud"):
        check_mask(Mask(band="qa", kind="qa_pixel", reject=("vegetation",)))


@pytest.mark.parametrize(
    ("band", "kind", "holds", "remedy"),
    [
        ("QA_PIXEL", "scl", "qa_pixel", "give kind qa_pixel"),
        ("SCL", "fmask", "scl", "give kind scl"),
        ("quality:Fmask", "qa_pixel", "fmask", "give kind fmask"),
        ("pixel_qa", "qa_pixel", "the flags of Landsat Collection 1", "no mask, or a band of one"),
        ("oa_fmask", "fmask", "the class numbers of Digital Earth Australia", "no mask"),
        ("QA60", "scl", "the cloud bits of Sentinel-2 L1C", "no mask"),
    ],
)
def test_a_band_that_is_known_to_hold_other_flags_is_refused(band: str, kind: str, holds: str, remedy: str) -> None:
    with pytest.raises(ImageryError, match=f"kind is {kind}, and band {band} holds {holds}") as caught:
        check_mask(Mask(band=band, kind=kind))
    assert remedy in caught.value.remedy
    check_mask(Mask(band="my_qa", kind=kind))


def test_fmask_bits_and_its_aerosol_levels_are_read_and_255_is_nothing() -> None:
    values = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 255, 32 | 192], dtype=np.uint8)

    def rejected(*names: str) -> list[int]:
        return values[~usable(Mask(band="Fmask", kind="fmask", reject=names), values)].tolist()

    assert rejected() == [255]
    assert rejected("cloud", "cloud_shadow", "cirrus") == [1, 2, 8, 255]
    assert rejected("adjacent", "snow", "water") == [4, 16, 32, 255, 32 | 192]
    assert rejected("aerosol_high") == [192, 255, 32 | 192]
    assert rejected("aerosol_low", "aerosol_moderate") == [64, 128, 255]
    assert not usable(Mask(band="Fmask", kind="fmask"), values.astype(np.int32))[10]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64])
def test_a_mask_says_the_same_of_every_dtype(dtype: type) -> None:
    values = np.arange(120, dtype=dtype)
    for kind in ("scl", "qa_pixel", "fmask"):
        mask = Mask(band="q", kind=kind)
        assert (usable(mask, values) == usable(mask, values.astype(np.int64))).all()
