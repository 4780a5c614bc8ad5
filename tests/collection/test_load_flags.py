"""Loaded bands of flags and classes: the source's values whatever resampling, units and composite, in overviews too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Mask, StacImagery
from tests.collection.loads import kept, load
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items

FLAGS = np.array([21824, 22280, 23888, 55052], np.uint16)
BANDS = ("red", "qa_pixel", "what")


def source(folder: Path, **spec: Any) -> StacImagery:
    """Two scenes: red in pixels of 10 m, QA_PIXEL (nodata 1) and a band of classes that only the spec knows in pixels of 30 m."""
    random = np.random.default_rng(1)
    items = []
    for day in (1, 2):
        red = random.integers(1, 9999, (1, 600, 600)).astype(np.uint16)
        flags = FLAGS[random.integers(0, 4, (1, 200, 200))]
        flags[:, :20] = 1
        write(folder / f"red{day}.tif", red, nodata=0)
        write(folder / f"qa{day}.tif", flags, size=30, nodata=1)
        write(folder / f"what{day}.tif", (flags % 7 + 1).astype(np.uint8), size=30)
        described = {"scale": 0.0001, "offset": -0.1}
        assets = {
            "red": {
                "href": f"./red{day}.tif",
                "bands": [{"name": "red", "raster:scale": 0.0001, "raster:offset": -0.1}],
            },
            "qa_pixel": {"href": f"./qa{day}.tif", "raster:bands": [described]},
            "what": f"./what{day}.tif",
        }
        items.append(make_item(f"s{day}", assets, datetime=f"2024-06-0{day}T10:00:00Z"))
    return StacImagery(catalog=write_items(folder, *items), bands=BANDS, categorical=("what",), **spec)


@pytest.mark.parametrize("physical", [False, True])
def test_flags_are_the_source_values_in_pixels_and_overviews(tmp_path: Path, physical: bool) -> None:
    load(tmp_path / "out", source(tmp_path, resampling="bilinear"), physical=physical, blocksize=128)
    item = pystac.Item.from_file(str(tmp_path / "out/s1.json"))
    for band, name, dtype in (("qa_pixel", "qa1", "uint16"), ("what", "what1", "uint8")):
        with (
            rasterio.open(tmp_path / f"out/s1-{band}.tif") as file,
            rasterio.open(tmp_path / f"{name}.tif") as original,
        ):
            pixels, truth = file.read(1), original.read(1)
            assert (file.dtypes[0], file.scales[0], file.offsets[0]) == (dtype, 1, 0)
            values = set(np.unique(truth).tolist()) | {0}
            valid = file.read_masks(1) > 0
            assert valid.any()
            assert np.array_equal(pixels[valid], np.repeat(np.repeat(truth, 3, 0), 3, 1)[valid])
            for level in range(len(file.overviews(1))):
                with rasterio.open(file.name, overview_level=level) as small:
                    assert set(np.unique(small.read(1)).tolist()) <= values
        (described,) = item.assets[band].extra_fields["bands"]
        assert described["swath:categorical"] is True
        assert "raster:scale" not in described
    with rasterio.open(tmp_path / "out/s1-red.tif") as file:
        assert file.dtypes[0] == ("float32" if physical else "uint16")


def test_a_mask_of_loaded_flags_rejects_what_it_rejects_in_the_original(tmp_path: Path) -> None:
    mask = Mask(band="qa_pixel", kind="qa_pixel", reject=("cloud",))
    original = source(tmp_path, resampling="bilinear", mosaic="last").model_copy(
        update={"bands": ("red",), "categorical": ()}
    )
    load(tmp_path / "out", source(tmp_path, resampling="bilinear"))
    before = find(original.model_copy(update={"mask": mask}))
    after = find(kept(tmp_path / "out", "red", mask=mask, mosaic="last"))
    whole = Window(0, 0, *before.image.shape)
    for one, other in zip(read_mosaic(before, whole), read_mosaic(after, whole), strict=True):
        assert np.array_equal(one, other)


def test_a_band_that_the_spec_named_is_known_when_it_is_read_again(tmp_path: Path) -> None:
    load(tmp_path / "out", source(tmp_path))
    again = find(kept(tmp_path / "out", *BANDS, resampling="cubic"), grid=GridSpec(resolution=7))
    assert [band.categorical for band in again.scenes[0].bands] == [False, True, True]
    pixels, valid = read_mosaic(again, Window(0, 0, *again.image.shape))
    assert set(np.unique(pixels[1][valid])) <= set(FLAGS)


def test_a_median_composite_has_flags_of_a_scene_that_was_used(tmp_path: Path) -> None:
    imagery = source(tmp_path)
    load(tmp_path / "out", imagery, composite="median", physical=True)
    with (
        rasterio.open(tmp_path / "out/composite-qa_pixel.tif") as file,
        rasterio.open(tmp_path / "out/composite-red.tif") as red,
    ):
        flags, value, valid = file.read(1), red.read(1), red.read_masks(1) > 0
    sources = [
        (rasterio.open(tmp_path / f"red{n}.tif").read(1), rasterio.open(tmp_path / f"qa{n}.tif").read(1))
        for n in (1, 2)
    ]
    second = sources[1][0] < sources[0][0]  # the lower of two is the median
    expected = np.where(second, *(np.repeat(np.repeat(qa, 3, 0), 3, 1) for _, qa in reversed(sources)))
    assert np.array_equal(flags[valid], expected[valid])
    assert np.allclose(value[valid], np.minimum(sources[0][0], sources[1][0])[valid] * 0.0001 - 0.1)
