"""A folder with a raster, a web server of it, and a client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.imagery.rasters import write
from tests.imagery.remote.client import Client
from tests.imagery.servers import Web, web


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a.tif, of random pixels in small blocks: 256 kB, so that it takes several requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65535, (2, 256, 256), dtype=np.uint16)
    write(folder / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[Web]:
    with web(folder) as this:
        yield this


@pytest.fixture
def client() -> Client:
    return Client()
