"""Names of bands in items: of one band in several assets, of several bands, of bands in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from swath.errors import ImageryError
from swath.imagery.scene import Band
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import StacImagery
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items


def band(folder: Path, name: str, assets: dict[str, Any], **properties: Any) -> Band:
    catalog = write_items(folder, make_item("x", assets, **properties))
    return find(StacImagery(catalog=catalog, bands=(name,))).scenes[0].bands[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "one.tif", np.ones((1, 4, 4), np.uint16))
    write(tmp_path / "three.tif", np.ones((3, 4, 4), np.uint8), photometric="RGB")
    return tmp_path


def rededge(key: str, **more: Any) -> dict[str, Any]:
    return {"href": "./one.tif", "eo:bands": [{"name": key, "common_name": "rededge"} | more]}


def test_a_common_name_of_several_bands_is_refused_with_the_candidates(folder: Path) -> None:
    three = {key: rededge(key, center_wavelength=at) for key, at in {"B05": 0.704, "B06": 0.74, "B07": 0.783}.items()}
    with pytest.raises(
        ImageryError, match=r"item x: 'rededge' is the common name of 3 bands: B05 \(704 nm\), B06 \(740 nm\), B07 "
    ) as refused:
        band(folder, "rededge", three)
    assert "Say in imagery.bands which one to take" in refused.value.remedy
    assert refused.value.exit_code == 2
    with pytest.raises(ImageryError, match="2 bands: B05, B06"):
        band(folder, "rededge", {key: rededge(key) for key in ("B05", "B06")})
    in_one = {"href": "./three.tif", "bands": [{"name": n, "eo:common_name": "rededge"} for n in ("B05", "B06", "B07")]}
    with pytest.raises(ImageryError, match="3 bands: B05, B06, B07"):
        band(folder, "rededge", {"data": in_one})
    assert band(folder, "B06", {"data": in_one}).index == 2


def red(**more: Any) -> dict[str, Any]:
    return {"href": "./one.tif", "eo:bands": [{"name": "B4", "common_name": "red"}]} | more


def test_a_band_of_several_products_in_one_item_is_refused_with_the_assets(folder: Path) -> None:
    """By a common name, and by a band's name: top of atmosphere and surface reflectance are not copies of each other."""
    for name in ("red", "B4"):
        with pytest.raises(ImageryError, match=f"item x: '{name}' is a band of 2 assets: toa, sr\n") as refused:
            band(folder, name, {"toa": red(), "sr": red()})
        assert "such as toa" in refused.value.remedy
        assert refused.value.exit_code == 2
        described = [{"name": "B4", "common_name": "red"}, {"name": "B3"}, {"name": "B2"}]
        several = {"href": "./three.tif", "eo:bands": described}
        with pytest.raises(ImageryError, match="2 assets: analytic:1, analytic_sr:1"):
            band(folder, name, {"analytic": several, "analytic_sr": several})
    assert band(folder, "sr", {"toa": red(), "sr": red()})
    assert band(folder, "red", {"toa": red(gsd=60), "sr": red(gsd=30)})
    copies = {key: red() for key in ("B04-jp2", "B04_10m", "B04", "B04_10m-jp2")}
    assert band(folder, "red", copies)
    assert band(
        folder, "red", {"visual": red(), "TCI_10m": red(), "rendered_preview": red(), "b": red(href="./three.tif")}
    ).href.endswith("three.tif")


def test_one_band_at_several_resolutions_and_formats_is_one(folder: Path) -> None:
    assert band(folder, "rededge", {"B05": rededge("B05"), "B05_60m": rededge("B05") | {"gsd": 60}})
    assert band(folder, "rededge", {"a-jp2": rededge(""), "a": rededge("")})
    assert band(
        folder, "rededge", {"p": rededge("b1", center_wavelength=0.705), "q": rededge("b2", center_wavelength=0.704)}
    )
    preview = {
        "href": "./three.tif",
        "roles": ["visual"],
        "eo:bands": [{"name": "R", "common_name": "rededge"}, {}, {}],
    }
    assert band(folder, "rededge", {"preview": preview, "B05": rededge("B05")}).href.endswith("one.tif")


def test_bands_of_one_asset_by_number_name_and_colour(folder: Path) -> None:
    described = {"href": "./three.tif", "bands": [{"name": "B04"}, {"name": "B03"}, {"name": "B02"}]}
    assert band(folder, "visual:2", {"visual": described}).index == 2
    assert band(folder, "visual:b02", {"visual": described}).index == 3
    with pytest.raises(ImageryError, match=r"asset visual has 3 bands\n  .*visual:B04, visual:B03, visual:B02"):
        band(folder, "visual", {"visual": described})
    with pytest.raises(ImageryError, match=r"no band 'B05'\n  It has: visual:B04"):
        band(folder, "visual:B05", {"visual": described})
    with pytest.raises(ImageryError, match="names band 4, the file has 3"):
        band(folder, "visual:4", {"visual": described})
    plain = {"visual": "./three.tif"}
    with pytest.raises(ImageryError, match=r"asset visual has 3 bands\n  .*visual:red, visual:green, visual:blue"):
        band(folder, "visual", plain)
    assert band(folder, "visual:blue", plain).index == 3
    assert band(folder, "green", plain).index == 2
    counted = {"visual": {"href": "./three.tif", "raster:bands": [{}, {}, {}]}}
    with pytest.raises(ImageryError, match=r"asset visual has 3 bands\n  .*visual:1, visual:2, visual:3"):
        band(folder, "visual", counted)


def test_alpha_is_no_band_to_choose(folder: Path) -> None:
    colours = (ColorInterp.gray, ColorInterp.alpha)
    path = write(folder / "alpha.tif", np.ones((2, 4, 4), np.uint8), alpha="YES")
    import rasterio

    with rasterio.open(path) as file:
        assert file.colorinterp == colours
    assert band(folder, "gray", {"gray": "./alpha.tif"}).index == 1


def test_bands_of_the_properties_belong_to_the_only_data_asset(folder: Path) -> None:
    names = [{"name": "other"}, {"name": "gray"}, {"name": "third"}]
    assets: dict[str, Any] = {
        "data": "./three.tif",
        "thumb": {"href": "./t.png", "type": "image/png", "roles": ["thumbnail"]},
    }
    assert band(folder, "gray", assets, bands=names).index == 2
    assert band(folder, "data:third", assets, **{"eo:bands": names}).index == 3
    with pytest.raises(ImageryError, match="its properties list that band, and do not say to which asset it belongs"):
        band(folder, "gray", assets | {"more": "./one.tif"}, bands=names)
    with pytest.raises(ImageryError, match=r"properties\.bands must be a list, not 'gray'"):
        band(folder, "gray", assets, bands="gray")


def test_an_item_without_assets_is_named(folder: Path) -> None:
    with pytest.raises(ImageryError, match=r"item x: has no assets\n  Leave the item out with imagery\.exclude"):
        band(folder, "red", {})
