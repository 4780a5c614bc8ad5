"""A file that is not a raster is named for what it is, over HTTP as on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.imagery.remote.file_format import describe_format, driver_of
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write
from tests.imagery.remote.client import Client
from tests.imagery.servers import Fault, Web


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("content", "description"),
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>" + b" " * 40_000, "an HTML page"),
        (
            b"<VRTDataset rasterXSize='1' rasterYSize='1'><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>",
            "a VRT",
        ),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_raster_is_named(
    server: Web, folder: Path, client: Client, content: bytes, description: str, whole: bool
) -> None:
    (folder / "odd.tif").write_bytes(content)
    server.rule = lambda _: Fault(whole=whole)
    with pytest.raises(ImageryError, match=rf"odd\.tif: {description}"):
        client.scenes(f"{server.address}/odd.tif")


@pytest.mark.parametrize(
    ("name", "content", "said", "remedy"),
    [
        ("cube.nc", b"\x89HDF\r\n\x1a\n", "NetCDF-4 or HDF5, not a raster", "List its subdatasets with gdalinfo"),
        ("old.nc", b"CDF\x01", "NetCDF, not a raster", "gdal_translate -of COG 'NETCDF:"),
        ("MOD09.hdf", b"\x0e\x03\x13\x01", "HDF4, not a raster", "HDF4_EOS:"),
        ("a.vrt", b"<VRTDataset>", "a VRT", "List the files that it points at in imagery.paths"),
        ("MTD_MSIL2A.xml", b"<n1:Level-2A_User_Product>", "the metadata of a Sentinel-2 product", "GRANULE/*/IMG_DATA"),
        ("a.zip", b"PK\3\4", "a zip archive", "Unzip it, and name the rasters in it."),
        ("cube.zarr/.zgroup", b"{}", "a Zarr store", "gdal_translate -of COG 'ZARR:"),
        ("S2A_MSIL2A/MTD_MSIL2A.xml", b"<a/>", "a Sentinel-2 product (SAFE folder)", "paths: ["),
        ("scenes/a.txt", b"", "a folder, not a raster", "a pattern such as FOLDER/*.tif"),
    ],
)
def test_formats_that_are_not_read_say_the_next_step(
    tmp_path: Path, name: str, content: bytes, said: str, remedy: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    top = tmp_path / name.partition("/")[0]
    for pattern in (top, f"{str(top)[:-1]}*"):  # a folder that a pattern matches is there, too
        with pytest.raises(ImageryError) as caught:
            find(FilesImagery(paths=(str(pattern),)))
        assert said in str(caught.value)
        assert remedy in str(caught.value)


def test_files_of_one_band_each_are_told_apart_from_scenes(tmp_path: Path) -> None:
    for name in ("B04", "B08"):
        write(tmp_path / f"{name}.tif", np.ones((1, 4, 4), np.uint16))
    pattern = (str(tmp_path / "*.tif"),)
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"names": ("red", "nir")},
        {"bands": (1, 1)},
        {"bands": (1, 1), "repeat_bands": True},
    )
    for way in ways:
        imagery = FilesImagery(paths=pattern, **way)
        with pytest.raises(ImageryError, match=r"one scene with \{band\} in place of the band"):
            find(imagery, ("red", "nir"))


def test_the_driver_follows_from_the_first_bytes_and_not_from_the_name() -> None:
    heads = {b"II*\0": "GTiff", b"MM\0+": "GTiff", b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
    assert {head: driver_of(head + b"rest") for head in heads} == heads
    for head in (b"", b"<VRTDataset>", b"PK\3\4", b"SQLite format 3\0"):
        assert driver_of(head) is None
    assert describe_format(b"PK\3\4") == "a zip archive"
    assert describe_format(b"<GDAL_WMS>") == "an XML document"
    assert describe_format(b"SQLite format 3\0") == "something else"
