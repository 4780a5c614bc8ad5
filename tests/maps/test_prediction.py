"""What the report says of a model's map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Blocks, Regions, Window
from swath.maps.color_ramp import RAMP
from swath.maps.layout import model_layout
from swath.maps.prediction import describe_input, estimate, grid_text, lineage, publish_prediction
from swath.maps.region import map_region
from swath.models.info import inspect
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from tests.maps.case import BANDS, Case
from tests.models.tiny_models import write_identity_model


def test_a_grid_is_told_in_pixels_and_units() -> None:
    grid = GeoBox((100, 200), Affine(30, 0, 0, 0, -30, 0), "EPSG:32612")
    assert grid_text(grid, Window(10, 10, 50, 60)) == "60 x 50 pixels of 30 in EPSG:32612"
    assert grid_text(GeoBox((5, 5), Affine.identity(), None), Window(0, 0, 5, 5)) == "5 x 5 pixels of 1 in no CRS"


def test_lineage_and_input_name_model_and_imagery(case: Case) -> None:
    assert lineage((case.scenes,), case.model) == (
        f"{case.model.contract.name} (weights {case.model.sha256[:12]}) over picture; the first valid pixel"
    )
    told = describe_input((case.scenes,), case.model, None, case.regions(64))
    assert told["imagery"] == ["picture"]
    assert told["area"] == "everything that the imagery covers"
    assert told["grid"] == ["197 x 211 pixels of 10 in EPSG:32633"]
    assert told["notes"] == "none"


def test_an_estimate_counts_regions_pixels_and_bytes(case: Case) -> None:
    regions = case.regions(64)
    told = estimate(case.model.contract, (case.scenes,), regions, Output(to="out"))
    assert (told["scenes"], told["regions"], told["region"]) == (1, 4 * 4, 64)
    assert told["megapixels"] == round(211 * 197 / 1e6, 3) == round(regions.megapixels, 3)
    assert told["read_bytes"] == 211 * 197 * 3


def test_a_map_of_values_has_names_and_statistics(case: Case, tmp_path: Path) -> None:
    model = inspect(ModelRef(path=str(write_identity_model(tmp_path, BANDS, "float32", "nan"))))
    model = replace(model, contract=replace(model.contract, values=("height", "cover", "age")))
    output = Output(to=str(tmp_path / "heights"), blocksize=64, style=True)
    regions = Regions((Blocks(case.scenes.image, case.window, 64, model.halo, model.stride),), (0,))
    layout = model_layout(regions, model, 3, output)
    results = [map_region(region, case.scenes, model, None, layout) for region in regions]
    published = publish_prediction(
        results, regions, (case.scenes,), model, None, layout, output, {"differing": 0}
    )  # fmt: skip
    expected = np.where(case.pixels.any(axis=0), case.pixels, np.nan).astype(np.float32)
    with rasterio.open(tmp_path / "heights/map.tif") as file:
        assert file.descriptions == ("height", "cover", "age")
        np.testing.assert_array_equal(file.read(), expected)
        stored = [float(file.tags(band)["STATISTICS_MEAN"]) for band in (1, 2, 3)]
    means = np.nanmean(expected.astype(float), axis=(1, 2))
    assert stored == pytest.approx(means)
    told = published.about["statistics"]
    assert [each["name"] for each in told] == ["height", "cover", "age"]
    assert [each["mean"] for each in told] == pytest.approx(means)
    assert [(each["minimum"], each["maximum"]) for each in told] == [
        (np.nanmin(band), np.nanmax(band)) for band in expected
    ]
    assert (tmp_path / "heights/map.qml").read_text().count("<item ") == len(RAMP)
