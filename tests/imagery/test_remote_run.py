"""Runs of `pipe` on a web server that fails: the exit code, and which pixels are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.imagery.rasters import write
from tests.imagery.servers import Asked, Fault, Web, web
from tests.models.tiny_models import write_identity_model
from tests.process import Pipe

pytestmark = pytest.mark.slow


def spec_of(pipe: Pipe, server: Web) -> Path:
    imagery = {"source": "files", "paths": [f"{server.address}/a.tif?key=canary"], "names": ["red"]}
    model = write_identity_model(pipe.folder, ("red",), "uint8", 0)
    output = {"to": "out", "vectors": False, "preview": False}
    return pipe.spec(imagery=imagery, model=str(model), output=output, region=512)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(1, 255, (1, 1024, 1024), dtype=np.uint8)
    write(folder / "a.tif", pixels, tiled=True, blockxsize=512, blockysize=512)
    return folder


def test_a_region_that_cannot_be_read_is_set_aside_and_named_with_its_pixels(pipe: Pipe, folder: Path) -> None:
    # The last of the four blocks: uncompressed, so that it begins at three quarters of the file.
    def rule(asked: Asked) -> Fault | None:
        return Fault(404) if asked.start > 3 * 512 * 512 - 20_000 else None

    with web(folder, rule) as server:
        done = pipe("run", spec_of(pipe, server), code=3)
    said = done.err + done.out
    assert f"{server.address}/a.tif: the server answered 404 (when reading rows 512-1024, columns 512-1024" in said
    assert "262144 pixels" in said
    assert "canary" not in said
    assert "262144 pixels" in json.dumps(json.loads((pipe.folder / "out/report.json").read_text()))
    with rasterio.open(folder / "a.tif") as before, rasterio.open(pipe.folder / "out/map.tif") as after:
        expected = before.read(1)
        expected[512:, 512:] = 0
        assert (after.read(1) == expected).all()


def test_a_refused_address_ends_the_run_with_exit_code_4(pipe: Pipe, folder: Path) -> None:
    with web(folder, lambda _: Fault(403)) as server:
        done = pipe("run", spec_of(pipe, server), code=4)
    assert "the server answered 403" in done.err
    assert "SWATH_SIGNERS" in done.err
    assert "canary" not in done.err


def test_a_run_on_a_server_that_is_often_busy_is_the_run_on_one_that_is_not(pipe: Pipe, folder: Path) -> None:
    with web(folder, lambda asked: Fault(503) if asked.number % 3 == 0 else None) as server:
        pipe("run", spec_of(pipe, server))
    with rasterio.open(folder / "a.tif") as before, rasterio.open(pipe.folder / "out/map.tif") as after:
        assert (before.read() == after.read()).all()
