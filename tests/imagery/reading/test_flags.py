"""Flags and classes are read as they are: never interpolated, never scaled, in a median from a scene that was used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write
from tests.imagery.reading.scenes import whole

FLAGS = np.array([1, 8, 21824, 22280], np.uint16)


def pair(folder: Path, seed: int = 0, **options: object) -> Path:
    """A file of red, nir and qa_pixel, in pixels of 10 m."""
    random = np.random.default_rng(seed)
    pixels = random.integers(2, 9999, (3, 40, 40)).astype(np.uint16)
    pixels[2] = FLAGS[random.integers(0, 4, (40, 40))]
    return write(folder / f"{seed}.tif", pixels, names=["red", "nir", "qa_pixel"], **options)


def scenes(*paths: Path, grid: GridSpec | None = None, **spec: object) -> Scenes:
    return find(FilesImagery(paths=tuple(map(str, paths)), **spec), None, None, grid)  # type: ignore[arg-type]


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average", "mode"])
@pytest.mark.parametrize("options", [{}, {"nodata": 0}], ids=["alpha", "nodata"])
def test_resampling_invents_no_flags(tmp_path: Path, resampling: str, options: dict[str, object]) -> None:
    path, grid = pair(tmp_path, **options), GridSpec(resolution=7)
    together = scenes(path, grid=grid, resampling=resampling)
    pixels, valid = read_mosaic(together, whole(together))
    assert valid.any()
    assert set(np.unique(pixels[2][valid])) <= set(FLAGS)
    how = "mode" if resampling == "mode" else "nearest"
    alone = scenes(path, grid=grid, resampling=how, bands=("qa_pixel",))
    flags, known = read_mosaic(alone, whole(alone))
    assert np.array_equal(pixels[2][valid & known], flags[0][valid & known])
    measured = scenes(path, grid=grid, resampling=resampling, bands=("red", "nir"))
    numbers, measured_valid = read_mosaic(measured, whole(measured))
    both = valid & measured_valid
    assert np.array_equal(pixels[:2, both], numbers[:, both])


def test_physical_values_leave_flags_as_they_are(tmp_path: Path) -> None:
    found = scenes(pair(tmp_path), scale=0.0001, offset=-0.1)
    numbers, _ = read_mosaic(found, whole(found))
    physical, _ = read_mosaic(found, whole(found), reflectance=True)
    assert physical.dtype == np.float32
    assert np.array_equal(physical[2], numbers[2])
    assert np.allclose(physical[:2], numbers[:2] * 0.0001 - 0.1)


def test_flags_of_32_bits_are_exact_in_physical_values(tmp_path: Path) -> None:
    values = np.array([[[2**31 + 1, 2**24 + 1]]], np.uint32)
    write(tmp_path / "a.tif", values, names=["qc"])
    found = scenes(tmp_path / "a.tif")
    physical, _ = read_mosaic(found, whole(found), reflectance=True)
    assert physical[0].tolist() == [[2**31 + 1, 2**24 + 1]]


@pytest.mark.parametrize("median_bytes", [1, 2**27])
def test_a_median_takes_flags_from_the_scene_of_its_first_measured_band(tmp_path: Path, median_bytes: int) -> None:
    found = scenes(*(pair(tmp_path, seed, nodata=0) for seed in range(4)), mosaic="median")
    stack = np.stack([read_mosaic(one, whole(one))[0] for one in (scenes(tmp_path / f"{n}.tif") for n in range(4))])
    pixels, valid = read_mosaic(found, whole(found), median_bytes=median_bytes)
    assert valid.all()
    assert np.array_equal(pixels[:2], np.sort(stack[:, :2], axis=0)[1])
    used = (stack[:, 0] == pixels[0]).argmax(axis=0)
    assert np.array_equal(pixels[2], np.take_along_axis(stack[:, 2], used[None], axis=0)[0])
