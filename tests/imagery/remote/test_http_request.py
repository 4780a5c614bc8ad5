"""HTTP servers that ignore ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.geo import Window
from tests.imagery.rasters import write
from tests.imagery.remote.client import Client
from tests.imagery.servers import Fault, Web


def test_a_server_that_ignores_range_sends_no_gigabytes(server: Web, folder: Path, client: Client) -> None:
    with (folder / "large.tif").open("wb") as large:
        large.write((folder / "a.tif").read_bytes())
        large.truncate(50_000_000)
    server.rule = lambda _: Fault(whole=True)
    with pytest.raises(ImageryError, match=r"large\.tif: the server ignores Range.*50,000,000 bytes"):
        client.scenes(f"{server.address}/large.tif")
    assert server.sent < 10_000_000  # what fits in the sockets


def test_a_small_file_of_a_server_that_ignores_range_is_read(server: Web, folder: Path, client: Client) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    write(folder / "small.tif", pixels)
    server.rule = lambda _: Fault(whole=True)
    found, _ = client.read(client.scenes(f"{server.address}/small.tif"), Window(0, 0, 8, 8))
    assert (found == pixels).all()
