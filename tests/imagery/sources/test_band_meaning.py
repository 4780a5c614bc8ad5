"""What names say of a band, and which names contradict each other."""

from __future__ import annotations

import pytest

from swath.imagery.sources.band_meaning import band_code, contradicts


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("T32TNT_20240601T100031_B04_10m", "B4"),
        ("LC08_L2SP_008067_20240601_20240602_02_T1_SR_B5", "B5"),
        ("HLS.S30.T10TEM.2024153T185919.v2.0.B8A", "B8A"),
        ("b10", "B10"),
        ("B04", "B4"),
        ("scene_B04_B08", None),
        ("B13", None),
        ("AB4", None),
        ("B04x", None),
        ("red", None),
    ],
)
def test_the_band_in_a_files_name(name: str, code: str | None) -> None:
    assert band_code(name) == code


@pytest.mark.parametrize(
    ("name", "other", "different"),
    [
        ("red", "B08", True),
        ("red", "nir", True),
        ("B04", "B08", True),
        ("swir16", "swir22", True),
        ("red", "rededge", True),
        ("green", "B12", True),
        ("thermal", "B8A", True),
        ("B04", "b4", False),
        ("red", "B04", False),
        ("nir", "B04", False),  # of Landsat 7
        ("red", "sur_refl_b01", False),  # of MODIS
        ("nir", "nir08", False),
        ("nir", "B8A", False),
        ("swir1", "SWIR16", False),
        ("gray", "B08", False),
        ("red", "reflectance", False),
        ("red", "", False),
    ],
)
def test_names_of_different_bands_contradict_each_other(name: str, other: str, different: bool) -> None:
    assert contradicts(name, other) is different
    assert contradicts(other, name) is different
