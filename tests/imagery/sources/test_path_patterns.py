"""Scenes of files that hold one band each: which files are one scene, and that their pixels are those of one file of all bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.imagery.sources.path_patterns import scene_files
from swath.spec.fields.imagery import FilesImagery, Mask
from tests.imagery.rasters import write

BANDS = ("red", "nir")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, *patterns: str, bands: tuple[str, ...] | None = None) -> dict[str, dict[str, str]]:
    scenes = scene_files([str(folder / pattern) for pattern in patterns], bands)
    return {
        each.id: {band: str(Path(path).relative_to(folder)) for band, path in each.files.items()} for each in scenes
    }


def test_files_whose_other_parts_are_alike_are_one_scene(tmp_path: Path) -> None:
    touch(tmp_path, "a_B04_10m.tif", "a_B08_10m.tif", "b_x_b04_10m.tif", "b_x_B08_10m.tif", "a_B11_20m.tif")
    touch(tmp_path, "b_x_B11_20m.tif", "a_B04_20m.tif", "notes.txt")
    two = found(tmp_path, "*_{band}_10m.tif", bands=("B08", "B04"))
    assert two == {
        "a": {"B08": "a_B08_10m.tif", "B04": "a_B04_10m.tif"},
        "b_x": {"B08": "b_x_B08_10m.tif", "B04": "b_x_b04_10m.tif"},
    }
    three = found(tmp_path, "*_{band}_10m.tif", "*_{band}_20m.tif", bands=("B04", "B11"))
    assert three["a"] == {"B04": "a_B04_10m.tif", "B11": "a_B11_20m.tif"}
    assert found(tmp_path, "a_{band}_10m.tif") == {"a_B04_10m": {"B04": "a_B04_10m.tif", "B08": "a_B08_10m.tif"}}


def test_folders_of_products_are_scenes(tmp_path: Path) -> None:
    one = "S2A_X.SAFE/GRANULE/L2A_T33/IMG_DATA"
    touch(
        tmp_path,
        *(f"{one}/R10m/T33_2024_{band}_10m.jp2" for band in ("B02", "B04")),
        f"{one}/R20m/T33_2024_SCL_20m.jp2",
    )
    patterns = [f"*.SAFE/GRANULE/*/IMG_DATA/R{size}m/*_{{band}}_{size}m.jp2" for size in (10, 20)]
    scenes = found(tmp_path, *patterns, bands=("B04", "SCL"))
    assert list(scenes.values()) == [
        {"B04": f"{one}/R10m/T33_2024_B04_10m.jp2", "SCL": f"{one}/R20m/T33_2024_SCL_20m.jp2"}
    ]
    touch(
        tmp_path, *(f"LC08_{scene}/LC08_{scene}_{band}.TIF" for scene in ("1", "2") for band in ("SR_B4", "QA_PIXEL"))
    )
    assert found(tmp_path, "LC08_*/LC08_*_{band}.TIF", bands=("SR_B4", "QA_PIXEL")) == {
        f"{n}_{n}": {band: f"LC08_{n}/LC08_{n}_{band}.TIF" for band in ("SR_B4", "QA_PIXEL")} for n in ("1", "2")
    }
    touch(tmp_path, "deep/er/s1/B04.tif", "deep/s2/B04.tif", "deep/B04/B04.tif")
    assert list(found(tmp_path, "deep/**/s?/{band}.tif", bands=("B04",)).values()) == [
        {"B04": "deep/er/s1/B04.tif"},
        {"B04": "deep/s2/B04.tif"},
    ]
    assert list(found(tmp_path, "deep/{band}/{band}.tif", bands=("B04",)).values()) == [{"B04": "deep/B04/B04.tif"}]


def test_what_lacks_a_band_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a_B04.tif", "a_B08.tif", "b_B04.tif")
    with pytest.raises(ImageryError, match=r"the scene of .*b_B04\.tif has no file of band B08"):
        found(tmp_path, "*_{band}.tif", bands=("B04", "B08"))
    with pytest.raises(ImageryError, match=r"nothing matches .* for band B99"):
        found(tmp_path, "*_{band}.tif", bands=("B99",))
    assert list(found(tmp_path, "*_{band}.tif")["a"]) == ["B04"]  # what all have


@pytest.fixture
def separate(tmp_path: Path) -> Path:
    """Two scenes as one file each, and the same as a file for each band; the near infrared and the classes have coarser pixels."""
    random = np.random.default_rng(1)
    for number in range(2):
        at = (500_000 + 300 * number, 5_000_000)
        red = random.integers(1, 3000, (1, 60, 80)).astype(np.uint16)
        red[:, 5:9, 5:9] = 0
        write(tmp_path / f"s{number}_red_10m.tif", red, at=at, nodata=0)
        nir = random.integers(1, 3000, (1, 30, 40)).astype(np.uint16)
        write(tmp_path / f"s{number}_nir_20m.tif", nir, at=at, size=20, nodata=0)
        scl = random.choice([4, 9], (1, 30, 40)).astype(np.uint8)
        write(tmp_path / f"s{number}_SCL_20m.tif", scl, at=at, size=20)
    return tmp_path


def scenes_of(folder: Path, **more: object) -> Scenes:
    paths = tuple(str(folder / f"*_{{band}}_{size}m.tif") for size in (10, 20))
    return find(FilesImagery(paths=paths, **more), BANDS)  # type: ignore[arg-type]


def test_pixels_are_those_of_the_files(separate: Path) -> None:
    scenes = scenes_of(separate, mask=Mask(band="SCL", kind="scl", reject=("cloud",)), scale=0.0001, offset=-0.1)
    assert [scene.id for scene in scenes.scenes] == ["s0", "s1"]
    assert scenes.image.affine == Affine(10, 0, 500_000, 0, -10, 5_000_000)
    pixels, valid = read_mosaic(scenes, Window(0, 0, *scenes.image.shape))
    expected, known = np.zeros((2, 60, 110), np.uint16), np.zeros((60, 110), bool)
    for number in (1, 0):  # the first is on top
        red, nir, scl = (
            rasterio.open(separate / f"s{number}_{name}.tif") for name in ("red_10m", "nir_20m", "SCL_20m")
        )
        with red, nir, scl:
            fine = np.stack([red.read(1), np.kron(nir.read(1), np.ones((2, 2), np.uint16))])
            clear = np.kron(scl.read(1) == 4, np.ones((2, 2), bool)) & (fine[0] != 0)
        at = slice(30 * number, 30 * number + 80)
        expected[:, :, at][:, clear] = fine[:, clear]
        known[:, at] |= clear
    assert np.array_equal(valid, known)
    assert np.array_equal(pixels, expected)
    physical, _ = read_mosaic(scenes, Window(0, 0, *scenes.image.shape), reflectance=True)
    np.testing.assert_allclose(physical[:, valid], expected[:, valid] * 0.0001 - 0.1, atol=1e-6)


def test_what_does_not_go_with_files_of_one_band_is_refused(separate: Path) -> None:
    for fields, message in (
        ({"names": ("red",)}, "imagery.names: files that are named by {band}"),
        ({"bands": (1, 2)}, "imagery.bands: files that hold one band each have no band numbers"),
    ):
        with pytest.raises(ImageryError, match=message):
            scenes_of(separate, **fields)
    mixed = FilesImagery(paths=(str(separate / "*_{band}_10m.tif"), str(separate / "s0_nir_20m.tif")))
    with pytest.raises(ImageryError, match=r"s0_nir_20m\.tif has no \{band\}, and others have"):
        find(mixed, BANDS)
    write(separate / "s0_red_10m.tif", np.ones((2, 60, 80), np.uint8))
    with pytest.raises(ImageryError, match=r"s0_red_10m\.tif: has 2 bands, and its name says that it is band red"):
        scenes_of(separate)
