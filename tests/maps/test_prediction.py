"""What the report says of a model's map."""

from __future__ import annotations

from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.maps.prediction import describe_input, estimate, grid_text, lineage
from swath.spec.fields.output import Output
from tests.maps.case import Case


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
