"""Remote files as GDAL reads them: no missing bytes go unnoticed, and files stay open from call to call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from swath.errors import ReadFailed
from swath.imagery.remote.gdal_file import Opener, raise_fetch_errors
from swath.imagery.remote.remote_file import RemoteFile
from tests.imagery.remote.client import Client
from tests.imagery.servers import Web


def test_a_range_beyond_the_end_of_a_file_is_an_error_and_no_stale_memory(server: Web, folder: Path) -> None:
    handle = Opener(RemoteFile(f"{server.address}/a.tif")).open("a.tif")
    size = (folder / "a.tif").stat().st_size
    with (
        pytest.raises(ReadFailed, match=rf"a\.tif: the file is truncated: it ends at byte {size:,}"),
        raise_fetch_errors(),
    ):
        assert handle.get_byte_ranges([size - 10], [30]) == [bytes(30)]


AT_EXIT = """
import sys, threading
from tests.imagery.remote.client import Client
client, read = Client(), threading.Event()
scenes = client.scenes(f"{sys.argv[1]}/a.tif")
client.read(scenes)

def worker():
    client.read(scenes)
    read.set()
    threading.Event().wait(60)

threading.Thread(target=worker, daemon=True).start()
assert read.wait(30)
"""


@pytest.mark.slow
def test_a_process_that_ends_with_open_remote_files_ends_well(server: Web) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, server.address], env=dict(os.environ), timeout=60, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize(("driver", "name"), [("JP2OpenJPEG", "a.jp2"), ("JPEG", "a.jpg"), ("PNG", "a.png")])
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_other_formats_are_read_as_rasterio_reads_them(
    server: Web, folder: Path, client: Client, driver: str, name: str, remote: bool
) -> None:
    rows, cols = np.mgrid[0:256, 0:256]
    pixels = np.stack([rows, cols, (rows + cols) // 2]).astype(np.uint8)
    options: dict[str, Any] = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(
        folder / name, "w", driver=driver, count=3, height=256, width=256, dtype="uint8", **options
    ) as to:
        to.write(pixels)
    found, valid = client.read(client.scenes(f"{server.address}/{name}" if remote else str(folder / name)))
    with rasterio.open(folder / name) as file:
        assert (found == file.read()).all()
    assert valid.all()
    assert np.abs(found.astype(int) - pixels).max() <= (0 if driver != "JPEG" else 40)


IN_CONTEXTS = """
import contextvars, gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np

def worker():
    # As a Dask worker's thread: it has a context of its own, which knows nothing of what others imported or opened.
    from swath.geo import Window
    from swath.imagery.sources.find import find
    from swath.imagery.reading.dataset_cache import CacheLimits
    from swath.imagery.reading.mosaic import read_mosaic
    from swath.spec.fields.imagery import FilesImagery
    pool = ThreadPoolExecutor(1)
    count = CacheLimits().open_files + 3  # more than stay open: some are closed in another context than they were opened in
    scenes = [find(FilesImagery(paths=(f"{sys.argv[1]}/a.tif?{n}",)), None, None, None) for n in range(count)]
    first = None
    for turn in range(2):
        for each in scenes:
            pixels, _ = pool.submit(contextvars.copy_context().run, read_mosaic, each, Window(0, 0, 256, 256)).result()
            gc.collect()
            [bytes(200) for _ in range(1000)]
            again, _ = pool.submit(contextvars.copy_context().run, read_mosaic, each, Window(0, 0, 256, 256)).result()
            first = pixels if first is None else first
            assert (pixels == first).all() and (again == first).all()
    pool.shutdown()
    print("same")

thread = threading.Thread(target=worker)
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_files_stay_open_from_call_to_call_whatever_context_each_call_has(server: Web) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_CONTEXTS, server.address], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("same\n", "", 0)
