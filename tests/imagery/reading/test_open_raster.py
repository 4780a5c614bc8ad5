"""GDAL's settings for reading."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import rasterio

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading import open_raster
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.files import find_scenes
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.reading.scenes import files


def test_gdals_settings_end_with_the_read(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    with open_raster.gdal_errors("https://example.invalid/a.tif", "testing"):
        assert rasterio.env.getenv()["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    read_mosaic(files(path), Window(0, 0, 5, 5))
    with rasterio.Env():
        assert "GDAL_DISABLE_READDIR_ON_OPEN" not in rasterio.env.getenv()


def test_a_pipe_a_device_and_a_folder_are_refused_without_being_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, what in (
        (tmp_path / "fifo", "a pipe"),
        (Path("/dev/zero"), "a pipe, a socket or a device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(ImageryError, match=f"{path}: {what}"):
            find_scenes(FilesImagery(paths=(str(path),)), None, None)
        with pytest.raises(ImageryError, match=f"{path}: {what}"), open_raster.gdal_errors(str(path), "testing"):
            open_raster.open_raster(str(path))


@pytest.mark.parametrize("end", ["_MTL.txt", "_metadata.txt", ".IMD", "_RPC.TXT", ".tfw"])
def test_a_pipe_that_gdal_would_read_with_an_image_is_refused(shared: Path, tmp_path: Path, end: str) -> None:
    image = tmp_path / "LC08_B4.tif"
    shutil.copy(shared / "data/imagery/bahamas_rgb.tif", image)
    os.mkfifo(tmp_path / f"{'LC08' if end == '_MTL.txt' else image.stem}{end}")
    with pytest.raises(ImageryError, match="a named pipe beside"), open_raster.gdal_errors(str(image), "testing"):
        open_raster.open_raster(str(image))


@pytest.mark.parametrize("inside", [True, False])
def test_an_image_whose_metadata_name_another_file_as_overviews_is_refused(
    shared: Path, tmp_path: Path, inside: bool
) -> None:
    """GDAL would open that file with any driver, also over the network."""
    image = tmp_path / "a.tif"
    other = "/vsicurl/http://192.0.2.1/a.vrt"
    with rasterio.open(shared / "data/imagery/bahamas_rgb.tif") as file:
        profile, pixels = file.profile, file.read()
    with rasterio.open(image, "w", **profile) as file:
        file.write(pixels)
        if inside:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=other)
    if not inside:
        named = f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="&#79;VERVIEW_FILE">{other}</MDI></Metadata></PAMDataset>'
        Path(f"{image}.aux.xml").write_text(named)
    with (
        pytest.raises(ImageryError, match="name another file as its overviews"),
        open_raster.gdal_errors(str(image), "testing"),
    ):
        open_raster.open_raster(str(image))
