"""Scenes from either source: what the notes say of them."""

from __future__ import annotations

from pathlib import Path

from swath.imagery.sources.find import find
from swath.spec.fields.imagery import Mask, StacImagery


def test_the_report_names_each_band_that_is_resampled_and_how(shared: Path) -> None:
    catalog = str(shared / "data/stac/catalog.json")
    scl = Mask(band="scl", kind="scl")
    one = StacImagery(
        catalog=catalog, ids=("S2A_29RKH_20200219_0_L2A",), bands=("B04", "B11"), resampling="bilinear", mask=scl
    )
    notes = find(one).notes
    assert notes == (
        "B11 (200 in EPSG:32629): resampled, bilinear",
        f"{find(one).scenes[0].quality.name} (200 in EPSG:32629): resampled, nearest",  # type: ignore[union-attr]
    )
    both = StacImagery(
        catalog=catalog,
        ids=("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived"),
        bands=("B04",),
        resampling="cubic",
    )
    (note,) = (note for note in find(both).notes if "resampled" in note)
    assert note.endswith("resampled, cubic, in 1 of 2 scenes")
