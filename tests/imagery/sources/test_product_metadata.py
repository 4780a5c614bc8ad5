"""Sentinel-2 SAFE and Landsat folders as they are delivered: pixels in reflectance equal those computed from their metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.imagery.sources.product_metadata import product_of
from swath.imagery.sources.scene_units import check_units
from swath.spec.fields.imagery import FilesImagery, is_known_by_files
from tests.imagery.rasters import write

TILE = "T33UUP"
WHOLE = Window(0, 0, 64, 64)
LANDSAT = "LC08_L2SP_193027_20220715_20220722_02_T1"
PATTERN = "*.SAFE/GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2"


def numbers(seed: int) -> NDArray[np.uint16]:
    pixels = np.random.default_rng(seed).integers(1000, 9000, (1, 64, 64)).astype(np.uint16)
    pixels[:, :5, :5] = 0
    return pixels


def safe(folder: Path, baseline: str, when: str = "20220801T101559", level: str = "2A", named: str = "") -> Path:
    """A product of two bands with its metadata, in the elements and names of the real ones. JPEG 2000 without loss."""
    product = folder / f"S2A_MSIL{level}_{when}_N{named or baseline.replace('.', '')}_R122_{TILE}_{when}.SAFE"
    images = product / f"GRANULE/L{level}_{TILE}_A037122_{when}/IMG_DATA" / ("R10m" if level == "2A" else "")
    images.mkdir(parents=True)
    for number, band in enumerate(("B04", "B08")):
        tif = write(folder / "band.tif", numbers(number), size=10)
        name = f"{TILE}_{when}_{band}{'_10m' if level == '2A' else ''}.jp2"
        lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
        rasterio.shutil.copy(str(tif), str(images / name), driver="JP2OpenJPEG", **lossless)
    if level == "2A":
        values = (
            '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            "<AOT_QUANTIFICATION_VALUE>1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>"
        )
        outer, inner = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    else:
        values = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        outer, inner = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    if baseline >= "04.00":
        listed = "".join(f'<{inner} band_id="{n}">{-1000 - n}</{inner}>' for n in range(13))
        values += f"<{outer}>{listed}</{outer}>"
    (product / f"MTD_MSIL{level}.xml").write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2022-08-01T10:15:59.024Z</PRODUCT_START_TIME>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info>
<Product_Image_Characteristics>{values}</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-{level}_User_Product>"""
    )
    return product


def scenes_of(folder: Path, pattern: str = PATTERN, bands: tuple[str, ...] = ("B04", "B08"), **more: float) -> Scenes:
    return find(FilesImagery(paths=(str(folder / pattern),), bands=bands, **more), bands)  # type: ignore[arg-type]


def reflectance(scenes: Scenes) -> NDArray[np.float32]:
    pixels, valid = read_mosaic(scenes, WHOLE, reflectance=True)
    assert np.array_equal(valid, numbers(0)[0] > 0)
    found: NDArray[np.float32] = pixels[:, valid]
    return found


def expected(scale: float, *offsets: float) -> NDArray[np.float64]:
    known = numbers(0)[0] > 0
    return np.stack([numbers(n)[0][known].astype(float) * scale + offset for n, offset in enumerate(offsets)])


@pytest.mark.parametrize(("baseline", "offsets"), [("02.08", (0.0, 0.0)), ("05.11", (-0.1003, -0.1007))])
def test_reflectance_of_a_safe_folder_is_that_of_its_metadata(
    tmp_path: Path, baseline: str, offsets: tuple[float, float]
) -> None:
    safe(tmp_path, baseline)
    scenes = scenes_of(tmp_path)
    np.testing.assert_allclose(reflectance(scenes), expected(1e-4, *offsets), atol=1e-6)
    (scene,) = scenes.scenes
    assert (scene.datetime, scene.cloud_cover) == ("2022-08-01T10:15:59.024Z", 12.5)


def test_level_1c_has_the_offsets_of_its_own_name(tmp_path: Path) -> None:
    safe(tmp_path, "04.00", level="1C")
    scenes = scenes_of(tmp_path, "*.SAFE/GRANULE/*/IMG_DATA/*_{band}.jp2")
    np.testing.assert_allclose(reflectance(scenes), expected(1e-4, -0.1003, -0.1007), atol=1e-6)


def test_without_its_metadata_the_name_says_the_baseline(tmp_path: Path) -> None:
    (safe(tmp_path, "05.11") / "MTD_MSIL2A.xml").unlink()
    np.testing.assert_allclose(reflectance(scenes_of(tmp_path)), expected(1e-4, -0.1, -0.1), atol=1e-6)
    remote = product_of(f"s3://b/S2B_MSIL2A_20210101T000000_N0214_R122_{TILE}_20210101T000000.SAFE/a/x_B04_10m.jp2", [])
    assert remote is not None
    assert remote.scales["B04"] == (1e-4, 0.0)


def test_metadata_that_change_are_read_again(tmp_path: Path) -> None:
    file = safe(tmp_path, "05.11") / "MTD_MSIL2A.xml"
    scenes_of(tmp_path)
    file.write_text(file.read_text().replace(">-1003<", ">-500<"))
    assert [band.offset for band in scenes_of(tmp_path).scenes[0].bands] == pytest.approx([-0.05, -0.1007])
    imagery = FilesImagery(paths=(str(tmp_path / PATTERN),))
    assert not is_known_by_files(imagery)  # so that each run looks again
    assert is_known_by_files(FilesImagery(paths=(str(tmp_path / "band.tif"),)))


def test_numbers_before_and_after_the_offset_are_not_mixed(tmp_path: Path) -> None:
    safe(tmp_path, "03.01", "20210801T101559")
    safe(tmp_path, "05.11")
    scenes = scenes_of(tmp_path)
    with pytest.raises(ImageryError, match="stand for different physical values"):
        check_units((scenes,), physical=False)
    check_units((scenes,), physical=True)


def test_the_offset_of_the_spec_counts_and_a_difference_is_told(tmp_path: Path) -> None:
    safe(tmp_path, "05.11")
    scenes = scenes_of(tmp_path, scale=1e-4, offset=0.0)
    np.testing.assert_allclose(reflectance(scenes), expected(1e-4, 0.0, 0.0), atol=1e-6)
    assert any("the spec says number * 0.0001 + 0 for band B04, and MTD_MSIL2A.xml says" in n for n in scenes.notes)


def test_files_outside_of_their_product_are_told(tmp_path: Path) -> None:
    notes: list[str] = []
    assert product_of(str(tmp_path / f"{TILE}_20220801T101559_B04_10m.jp2"), notes) is None
    assert "its processing baseline is not known; since 04.00 1000 is added" in notes[0]
    assert product_of(str(tmp_path / f"renamed.SAFE/{TILE}_20220801T101559_B04_10m.jp2"), notes) is None
    assert len(notes) == 2
    # Collection 1 has the offset in scenes of all years
    assert product_of(str(tmp_path / f"{TILE}_20180801T101559_B04_10m.jp2"), notes) is None
    assert len(notes) == 3


def test_a_renamed_product_is_known_by_its_metadata(tmp_path: Path) -> None:
    safe(tmp_path, "05.11").rename(tmp_path / "my scene")
    scenes = scenes_of(tmp_path, "*/GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2")
    np.testing.assert_allclose(reflectance(scenes), expected(1e-4, -0.1003, -0.1007), atol=1e-6)


def test_products_of_the_first_years(tmp_path: Path) -> None:
    """Level 2A whose metadata have longer names, and level 1C with the long names of files of before December 2016."""
    file = safe(tmp_path, "02.06") / "MTD_MSIL2A.xml"
    file.write_text(file.read_text().replace("BOA_QUANT", "L2A_BOA_QUANT").replace(">10000<", ">5000<"))
    np.testing.assert_allclose(reflectance(scenes_of(tmp_path)), expected(2e-4, 0.0, 0.0), atol=1e-6)
    old = tmp_path / "S2A_OPER_PRD_MSIL1C_PDMC_20151206T013215_R022_V20151205T101411_20151205T101411.SAFE"
    safe(tmp_path, "02.04", "20151205T101411", level="1C").rename(old)
    (old / "MTD_MSIL1C.xml").rename(old / "S2A_OPER_MTD_SAFL1C_PDMC_20151206T013215_R022_V20151205T101411.xml")
    for path in sorted(old.rglob("*.jp2")):
        path.rename(path.with_name(f"S2A_OPER_MSI_L1C_TL_EPA__20151205T192402_A001735_{TILE}_{path.stem[-3:]}.jp2"))
    scenes = find(FilesImagery(paths=(str(old),)), ("red", "nir"))
    np.testing.assert_allclose(reflectance(scenes), expected(1e-4, 0.0, 0.0), atol=1e-6)


@pytest.mark.parametrize(("baseline", "offsets"), [("02.14", (0.0, 0.0)), ("05.11", (-0.1003, -0.1007))])
def test_of_sen2cors_own_baseline_only_the_metadata_count(
    tmp_path: Path, baseline: str, offsets: tuple[float, float]
) -> None:
    file = safe(tmp_path, baseline, named="9999") / "MTD_MSIL2A.xml"
    file.write_text(file.read_text().replace(f">{baseline}<", ">99.99<"))
    np.testing.assert_allclose(reflectance(scenes_of(tmp_path)), expected(1e-4, *offsets), atol=1e-6)
    file.unlink()
    scenes = scenes_of(tmp_path)
    assert any("its processing baseline is not known" in note for note in scenes.notes)
    with pytest.raises(ImageryError, match="nothing says the scale of band B04"):
        check_units((scenes,), physical=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<PROCESSING_BASELINE>05.11", "<PROCESSING_BASELINE>02.14", "02.14, and the folder's name 05.11"),
        ("BOA_ADD_OFFSET", "OTHER", "processing baseline 05.11 and no offsets"),
        ('band_id="3"', 'band_id="13"', "an offset of band_id '13'"),
        (">-1003<", ">many<", "BOA_ADD_OFFSET is 'many', not a number"),
        (">10000<", ">0<", "BOA_QUANTIFICATION_VALUE is '0'"),
        (">2022-08-01T10:15:59.024Z<", ">yesterday<", "PRODUCT_START_TIME is 'yesterday', not a time in UTC"),
        ("<n1:General_Info>", "", "not XML"),
        ("<?xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><?xml", "declares a document type"),
    ],
)
def test_metadata_that_contradict_or_are_damaged_are_an_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = safe(tmp_path, "05.11") / "MTD_MSIL2A.xml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ImageryError, match=message):
        scenes_of(tmp_path)


def landsat(folder: Path, identity: str = LANDSAT, ending: str = ".xml") -> Path:
    """A Landsat folder with two bands. The numbers of the real file, but for another factor in band 5, so that it is seen."""
    product = folder / identity
    product.mkdir()
    for number, band in enumerate(("SR_B4", "SR_B5") if "L2" in identity else ("B4", "B5")):
        write(product / f"{identity}_{band}.TIF", numbers(number), size=30)
    groups = {
        "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": identity, "PROCESSING_LEVEL": identity[5:9]},
        "IMAGE_ATTRIBUTES": {
            "DATE_ACQUIRED": "2022-07-15", "SCENE_CENTER_TIME": "10:04:31.5420000Z", "CLOUD_COVER": "3.21",
            "SUN_ELEVATION": "59.0",
        },
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {
            "REFLECTANCE_MULT_BAND_4": "2.75e-05", "REFLECTANCE_MULT_BAND_5": "3e-05",
            "REFLECTANCE_ADD_BAND_4": "-0.2", "REFLECTANCE_ADD_BAND_5": "-0.2",
        },
        "LEVEL1_PROCESSING_RECORD": {"LANDSAT_PRODUCT_ID": "LC08_L1TP_193027_20220715_20220721_02_T1"},
        "LEVEL1_RADIOMETRIC_RESCALING": {
            "REFLECTANCE_MULT_BAND_4": "2.0000E-05", "REFLECTANCE_MULT_BAND_5": "2.0000E-05",
            "REFLECTANCE_ADD_BAND_4": "-0.100000", "REFLECTANCE_ADD_BAND_5": "-0.100000",
        },
    }  # fmt: skip
    if "L1" in identity:
        del groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"]
    if ending == ".json":
        (product / f"{identity}_MTL.json").write_text(json.dumps({"LANDSAT_METADATA_FILE": groups}))
    else:
        text = "".join(
            f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in fields.items())}</{group}>"
            for group, fields in groups.items()
        )
        (product / f"{identity}_MTL.xml").write_text(f"<LANDSAT_METADATA_FILE>{text}</LANDSAT_METADATA_FILE>")
    return product


@pytest.mark.parametrize("ending", [".xml", ".json"])
def test_reflectance_of_a_landsat_folder_is_that_of_its_metadata(tmp_path: Path, ending: str) -> None:
    landsat(tmp_path, ending=ending)
    scenes = scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"))
    first, second = expected(2.75e-5, -0.2)[0], numbers(1)[0][numbers(0)[0] > 0] * 3e-5 - 0.2
    np.testing.assert_allclose(reflectance(scenes), np.stack([first, second]), atol=1e-6)
    (scene,) = scenes.scenes
    assert (scene.datetime, scene.cloud_cover) == ("2022-07-15T10:04:31Z", 3.21)


def test_level_1_of_landsat_is_divided_by_the_height_of_the_sun(tmp_path: Path) -> None:
    landsat(tmp_path, "LC08_L1TP_193027_20220715_20220721_02_T1")
    scenes = scenes_of(tmp_path, "L*/L*_{band}.TIF", ("B4", "B5"))
    high = np.sin(np.radians(59.0))
    np.testing.assert_allclose(reflectance(scenes), expected(2e-5, -0.1, -0.1) / high, atol=1e-6)


def test_landsat_without_its_metadata_is_known_by_its_name_in_level_2(tmp_path: Path) -> None:
    (landsat(tmp_path) / f"{LANDSAT}_MTL.xml").unlink()
    scenes = scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"))
    np.testing.assert_allclose(reflectance(scenes), expected(2.75e-5, -0.2, -0.2), atol=1e-6)


def test_metadata_of_another_landsat_scene_are_refused(tmp_path: Path) -> None:
    file = landsat(tmp_path) / f"{LANDSAT}_MTL.xml"
    file.write_text(file.read_text().replace(LANDSAT, LANDSAT.replace("0715", "0716"), 1))
    with pytest.raises(ImageryError, match=r"_20220716_.*, and its name LC08"):
        scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"))


def test_the_files_own_name_says_which_band_it_is(tmp_path: Path) -> None:
    landsat(tmp_path)
    scenes = scenes_of(tmp_path, "L*/L*_SR_{band}.TIF", ("B4", "B5"))
    assert [(band.scale, band.nodata) for band in scenes.scenes[0].bands] == [(2.75e-5, 0.0), (3e-5, 0.0)]


def test_clouds_that_were_not_determined_are_not_the_fewest(tmp_path: Path) -> None:
    file = landsat(tmp_path) / f"{LANDSAT}_MTL.xml"
    file.write_text(file.read_text().replace("3.21", "-1"))
    assert scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5")).scenes[0].cloud_cover is None


def test_numbers_that_were_computed_from_a_products_are_not_scaled_again(tmp_path: Path) -> None:
    product = landsat(tmp_path)
    for number, band in enumerate(("SR_B4", "SR_B5")):
        write(product / f"{LANDSAT}_{band}.TIF", numbers(number).astype(np.float32) * 2.75e-5 - 0.2, size=30)
    scenes = scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"))
    assert [band.scale for band in scenes.scenes[0].bands] == [None, None]
    assert "SR_B4.TIF: its pixels are float32" in scenes.notes[0]


def test_a_scale_in_the_file_that_contradicts_its_product_is_refused(tmp_path: Path) -> None:
    product = landsat(tmp_path)
    with rasterio.open(product / f"{LANDSAT}_SR_B4.TIF", "r+") as file:
        file.scales = (1e-4,)
    with pytest.raises(ImageryError, match=r"the file says number \* 0.0001 \+ 0, and LC08.*_MTL.xml says"):
        scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"))
    chosen = scenes_of(tmp_path, "L*/L*_{band}.TIF", ("SR_B4", "SR_B5"), scale=1e-4, offset=0.0)
    assert chosen.scenes[0].bands[0].scale == 1e-4
