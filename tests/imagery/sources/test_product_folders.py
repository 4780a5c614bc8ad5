"""A SAFE folder is a scene by its name alone, with the bands that a model's common names are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.imagery.sources.find import find
from swath.imagery.sources.product_folders import files_of_products, name_in_products
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write
from tests.imagery.sources.test_product_metadata import expected, reflectance, safe


@pytest.mark.parametrize("level", ["2A", "1C"])
def test_a_folder_gives_the_bands_of_a_model(tmp_path: Path, level: str) -> None:
    safe(tmp_path, "05.11", level=level)
    safe(tmp_path, "05.11", "20220901T101559", level=level)
    scenes = find(FilesImagery(paths=(str(tmp_path / "*.SAFE"),)), ("nir", "red"))
    assert [scene.datetime for scene in scenes.scenes] == ["2022-08-01T10:15:59.024Z"] * 2
    assert [band.name for band in scenes.scenes[0].bands] == ["B08", "B04"]
    np.testing.assert_allclose(reflectance(scenes)[::-1], expected(1e-4, -0.1003, -0.1007), atol=1e-6)


def test_one_folder_and_the_names_of_the_product_do(tmp_path: Path) -> None:
    product = safe(tmp_path, "02.08")
    scenes = find(FilesImagery(paths=(f"{product}/",), bands=("B08",)), ("anything",))
    assert len(scenes.scenes) == 1
    with pytest.raises(ImageryError, match="has no file of band B02"):
        find(FilesImagery(paths=(str(product),)), ("blue", "red"))


def test_two_processings_of_one_scene_are_two_scenes(tmp_path: Path) -> None:
    """Their files have the same names. One that is not complete does not take bands of the other, whose offset is another."""
    folders = [safe(tmp_path, "03.01"), safe(tmp_path, "05.11")]
    imagery = FilesImagery(paths=tuple(map(str, folders)), bands=("B04", "B08"))
    scenes = find(imagery, ("red", "nir")).scenes
    assert [scene.id.partition("_L2A_")[0] for scene in scenes] == [folder.stem for folder in folders]
    assert [scene.bands[1].offset for scene in scenes] == pytest.approx([0.0, -0.1007])
    next(folders[0].rglob("*_B08_10m.jp2")).unlink()
    with pytest.raises(ImageryError, match="has no file of band B08"):
        find(imagery, ("red", "nir"))


def test_all_bands_of_a_folder_are_without_its_picture(tmp_path: Path) -> None:
    images = next(safe(tmp_path, "05.11").rglob("*_B04_10m.jp2"))
    picture = write(tmp_path / "picture.tif", np.ones((3, 64, 64), np.uint8))
    picture.rename(images.with_name(images.name.replace("B04", "TCI")))
    (scene,) = find(FilesImagery(paths=(str(tmp_path / "*.SAFE"),))).scenes
    assert [band.name for band in scene.bands] == ["B04", "B08"]


def test_other_paths_and_names_stay_as_they_are() -> None:
    assert files_of_products(("a/b.tif", "a/*_{band}.tif")) == ("a/b.tif", "a/*_{band}.tif")
    assert [name_in_products(each) for each in ("NIR08", "SCL", "rededge", 3)] == ["B8A", "SCL", "rededge", 3]
