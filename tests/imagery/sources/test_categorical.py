"""Bands of flags and classes: which they are, by name, metadata, colour table and spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.errors import ImageryError
from swath.imagery.sources.categorical import is_categorical_file, is_categorical_name
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items


@pytest.mark.parametrize(
    "name",
    [
        "SCL", "scl", "QA60", "QA_PIXEL", "qa_radsat", "SR_QA_AEROSOL", "pixel_qa", "BQA", "Fmask", "oa_fmask",
        "state_1km", "sur_refl_qc_500m", "StateQA", "QC_Day", "pixel_reliability", "LC_Type1", "QF2", "label", "lulc",
        "land_cover", "udm2", "cloud_mask", "dataMask", "classification", "MSK_CLASSI_B00", "cloudmask", "WaterMask",
    ],
)  # fmt: skip
def test_well_known_names_of_flags_and_classes(name: str) -> None:
    assert is_categorical_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "red",
        "B04",
        "nir08",
        "ST_B10",
        "ST_QA",
        "cloud_mask_probability",
        "MSK_CLDPRB",
        "elevation",
        "vv",
        "AOT",
        "WVP",
        "1",
        "scale",
        "masked_ndvi",
    ],
)
def test_names_of_measured_bands(name: str) -> None:
    assert not is_categorical_name(name)


def test_a_file_of_one_band_is_known_by_its_name() -> None:
    assert is_categorical_file("LC08_L2SP_224077_20200518_20200820_02_T1_QA_PIXEL")
    assert is_categorical_file("T32TNT_20190208T110211_SCL_20m")
    assert is_categorical_file("HLS.S30.T32TNT.2020084T101021.v2.0.Fmask")
    assert is_categorical_file("20240601_101010_ssc1_3B_udm2")
    assert not is_categorical_file("LC08_L2SP_224077_20200518_20200820_02_T1_SR_B4")


def test_bands_of_files_by_name_number_and_colour_table(tmp_path: Path) -> None:
    ones = np.ones((2, 4, 4), np.uint8)
    path = write(tmp_path / "a.tif", ones, names=["red", "what"])

    def flags(**spec: object) -> list[bool]:
        return [b.categorical for b in find(FilesImagery(paths=(str(path),), **spec)).scenes[0].bands]  # type: ignore[arg-type]

    assert flags() == [False, False]
    assert flags(categorical=("what",)) == flags(categorical=(2,)) == flags(names=("red", "qa_pixel")) == [False, True]
    with pytest.raises(
        ImageryError, match=r"imagery\.categorical: 'whta' is none of the bands that are read \(did you mean what\?\)"
    ):
        flags(categorical=("whta",))
    path = write(tmp_path / "b.tif", ones[:1])
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (9, 9, 9, 255)})
    assert flags() == [True]


def test_bands_of_items_by_key_metadata_and_spec_and_never_scaled(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint16))
    fields = {"href": "./a.tif", "raster:bands": [{"scale": 0.1, "offset": -1}]}
    bits = [{"offset": 0, "length": 1, "name": "cloud"}]
    catalog = write_items(
        tmp_path,
        make_item(
            "x",
            {
                "red": fields,
                "scl": fields,
                "bits": fields | {"classification:bitfields": bits},
                "types": {
                    "href": "./a.tif",
                    "bands": [{"name": "t", "classification:classes": [{"value": 1, "name": "a"}]}],
                },
                "mine": fields,
                "inner": fields | {"raster:bands": [{"classification:bitfields": bits}]},
                "values": fields | {"file:values": [{"values": [0], "summary": "land"}]},
            },
        ),
    )
    imagery = StacImagery(
        catalog=catalog,
        bands=("red", "scl", "bits", "types", "mine", "inner", "values"),
        categorical=("mine",),
        scale=2,
        repeat_bands=True,
    )
    bands = find(imagery).scenes[0].bands
    assert [band.categorical for band in bands] == [False] + 6 * [True]
    assert [(band.scale, band.offset) for band in bands] == [(2, -1)] + 6 * [(None, None)]
    with pytest.raises(ImageryError, match="'mien' is none of the bands"):
        find(imagery.model_copy(update={"categorical": ("mien",)}))


def test_a_median_of_flags_alone_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.tif", np.ones((1, 4, 4), np.uint8), names=["scl"])
    imagery = FilesImagery(paths=(str(tmp_path / "*.tif"),), mosaic="median")
    with pytest.raises(ImageryError, match=r"there is no median of flags or classes \(scl\)"):
        find(imagery)


def test_notes_name_the_method_of_each_band(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint16), size=10)
    write(tmp_path / "b.tif", np.ones((1, 2, 2), np.uint8), size=20)
    catalog = write_items(tmp_path, make_item("x", {"red": "./a.tif", "nir": "./b.tif", "scl": "./b.tif"}))
    notes = find(StacImagery(catalog=catalog, bands=("red", "nir", "scl"), resampling="cubic", repeat_bands=True)).notes
    assert "nir (20 in EPSG:32633): resampled, cubic" in notes
    assert "scl (20 in EPSG:32633): resampled, nearest" in notes
