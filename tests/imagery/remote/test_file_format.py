"""A file that is not a raster is named for what it is, over HTTP as on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import ImageryError
from swath.imagery.remote.file_format import describe_format, driver_of
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


def test_the_driver_follows_from_the_first_bytes_and_not_from_the_name() -> None:
    heads = {b"II*\0": "GTiff", b"MM\0+": "GTiff", b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
    assert {head: driver_of(head + b"rest") for head in heads} == heads
    for head in (b"", b"<VRTDataset>", b"PK\3\4", b"SQLite format 3\0"):
        assert driver_of(head) is None
    assert describe_format(b"PK\3\4") == "a zip archive"
    assert describe_format(b"<GDAL_WMS>") == "an XML document"
    assert describe_format(b"SQLite format 3\0") == "something else"
