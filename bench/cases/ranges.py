"""A COG read by ranges over HTTP: swath.imagery.remote against GDAL's /vsicurl, fsspec and obstore, all decoded by GDAL.

python bench/cases/ranges.py FOLDER [EDGE]. FOLDER keeps the image. A server on loopback answers each request after 20 ms. Each method
reads the image twice, in strips, in a process of its own; printed are seconds, requests and bytes. Then each reads it from a server
that misbehaves: `cut` breaks off a transfer half-way, `cuts` three in a row, `busy` answers once 503 with Retry-After: 2, `changed`
replaces the file after it was opened, `whole` ignores ranges. What is printed is how both reads ended.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pixels_data import image
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.windows import Window

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.imagery.servers import Asked, Fault, Web, web  # noqa: E402

STRIP = 512
DELAY_S = 0.02
FAULTS = ("cut", "cuts", "busy", "changed", "whole")
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_MAX_RAW_BLOCK_CACHE_SIZE": 32 * 2**20, "GDAL_NUM_THREADS": 1}
"""The same for all."""
VSICURL = {
    "GDAL_HTTP_MAX_RETRY": 3, "GDAL_HTTP_RETRY_DELAY": 0.5, "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES", "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
}  # fmt: skip
"""As GDAL's documentation recommends for COGs, with the retries and time limits of swath."""


def strips(file: rasterio.io.DatasetReader, pause: Callable[[], None]) -> NDArray[Any]:
    """The whole image, some rows at a time; `pause` is called when the file is open."""
    pause()
    windows = [Window(0, row, file.width, min(STRIP, file.height - row)) for row in range(0, file.height, STRIP)]
    return np.concatenate([file.read(window=window) for window in windows], axis=1)


def swath(url: str, pause: Callable[[], None]) -> NDArray[Any]:
    """Through RemoteFile: a request for 16 KiB, then ranges of up to 8 MiB, 8 at once."""
    from swath.imagery.reading.open_raster import gdal_errors, open_raster

    with gdal_errors(url, "measuring"), open_raster(url) as file:
        return strips(file, pause)


def vsicurl(url: str, pause: Callable[[], None]) -> NDArray[Any]:
    """GDAL's own."""
    with rasterio.Env(**GDAL, **VSICURL), rasterio.open(f"/vsicurl/{url}") as file:
        return strips(file, pause)


def fsspec(url: str, pause: Callable[[], None]) -> NDArray[Any]:
    """rasterio's opener over fsspec's HTTPFileSystem."""
    import fsspec

    with rasterio.Env(**GDAL), rasterio.open(url, opener=fsspec.filesystem("http")) as file:
        return strips(file, pause)


def obstore(url: str, pause: Callable[[], None]) -> NDArray[Any]:
    """rasterio's opener over obstore's HTTPStore, with its own retries."""
    from obstore import get_range, get_ranges, head
    from obstore.store import HTTPStore

    host, _, path = url.removeprefix("http://").partition("/")
    store = HTTPStore.from_url(f"http://{host}", client_options={"allow_http": True}, retry_config={"max_retries": 3})
    size = head(store, path)["size"]

    class Handle:
        """One object with a position."""

        at = 0

        def read(self, count: int = -1) -> bytes:
            stop = size if count < 0 else min(self.at + max(count, 16384), size)
            data = bytes(get_range(store, path, start=self.at, end=stop)) if stop > self.at else b""
            data = data if count < 0 else data[:count]
            self.at += len(data)
            return data

        def get_byte_ranges(self, offsets: Any, sizes: Any) -> list[bytes]:
            starts, ends = list(map(int, offsets)), [int(o) + int(s) for o, s in zip(offsets, sizes, strict=True)]
            return [bytes(each) for each in get_ranges(store, path, starts=starts, ends=ends)]

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = offset + (0, self.at, size)[whence]
            return self.at

        def tell(self) -> int:
            return self.at

        def close(self) -> None:
            """Nothing is open."""

        def __enter__(self) -> Handle:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

    handles: list[Handle] = []

    class Opener(MultiByteRangeResourceContainer):  # type: ignore[misc]
        def open(self, path: str, mode: str = "r", **_: object) -> Handle:
            handles.append(Handle())
            return handles[-1]

        def isfile(self, path: str) -> bool:
            return True

        def isdir(self, path: str) -> bool:
            return False

        def ls(self, path: str) -> list[str]:
            return []

        def mtime(self, path: str) -> int:
            return 0

        def rm(self, path: str) -> None:
            raise OSError

        def size(self, path: str) -> int:
            return int(size)

    with rasterio.Env(**GDAL), rasterio.open(path, opener=Opener()) as file:
        return strips(file, pause)


METHODS = {"swath": swath, "vsicurl": vsicurl, "fsspec": fsspec, "obstore": obstore}


def child(method: str, url: str, truth: Path, served: str) -> int:
    """One read of a URL and a second one; how they ended and what they took."""
    with rasterio.open(truth) as file:
        expected = file.read()

    def replace() -> None:
        """Other pixels in the same places of the file."""
        copy = Path(served).with_suffix(".new")
        copy.write_bytes(Path(served).read_bytes())
        with rasterio.open(copy, "r+") as file:
            file.write(expected + 1)
        copy.replace(served)

    ends, seconds = [], []
    for turn in range(2):
        start = time.perf_counter()
        try:
            found = METHODS[method](url, replace if served and not turn else lambda: None)
            new = np.array_equal(found, expected + 1)
            ends.append("right" if np.array_equal(found, expected) else "the new pixels" if new else "WRONG PIXELS")
        except Exception as error:  # noqa: BLE001 - whatever the library raises
            ends.append(f"error: {type(error).__name__}")
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"ends": ends, "seconds": seconds}))
    return 0


def rule_of(server: Web) -> Callable[[Asked], Fault | None]:
    """Faults by the first part of the path, from the third request on that is not for the file's beginning."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    def rule(asked: Asked) -> Fault | None:
        kind = asked.path.strip("/").split("/")[0]
        if kind == "whole":
            return Fault(whole=True)
        if asked.start == 0:
            return None
        with lock:
            seen[asked.path] = seen.get(asked.path, 0) + 1
            number = seen[asked.path]
        third = number == 3
        if (third and kind == "cut") or (kind == "cuts" and 3 <= number <= 5):
            return Fault(cut=True)
        return Fault(503, (("Retry-After", "2"),)) if third and kind == "busy" else None

    return rule


def measure(server: Web, method: str, kind: str, truth: Path) -> dict[str, Any]:
    """One method on one kind of server: how it ended, seconds of the first read, requests and bytes of both."""
    served = server.folder / kind / f"{method}.tif"
    served.parent.mkdir(exist_ok=True)
    served.unlink(missing_ok=True)
    if kind == "changed":
        with rasterio.open(truth) as file, rasterio.open(
            served, "w", **file.profile | {"driver": "GTiff", "compress": None, "predictor": 1, "tiled": True}
        ) as plain:  # fmt: skip
            plain.write(file.read())
    else:
        served.hardlink_to(truth)
    before, sent = len(server.asked), server.sent
    done = subprocess.run(
        [sys.executable, __file__, "child", method, f"{server.address}/{kind}/{method}.tif", str(truth),
         str(served) if kind == "changed" else ""], capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode < 0:
        ended = {"ends": [f"the process died of signal {-done.returncode}"] * 2, "seconds": [0.0, 0.0]}
    else:
        ended = json.loads(done.stdout)
    asked = server.asked[before:]
    gaps = [later.at - one.at for one, later in itertools.pairwise(asked)]
    return ended | {
        "requests": len(asked), "megabytes": (server.sent - sent) / 1e6, "longest_gap_s": max(gaps, default=0.0),
    }  # fmt: skip


def main(words: list[str]) -> int:
    """All methods on all kinds of server."""
    if words[0] == "child":
        return child(words[1], words[2], Path(words[3]), words[4])
    folder, edge = Path(words[0]), int(words[1]) if len(words) > 1 else 2048
    truth = image(folder, edge)
    served = folder / "served"
    served.mkdir(exist_ok=True)
    with web(served, delay_s=DELAY_S) as server:
        server.rule = rule_of(server)
        print(f"{truth.name}, {truth.stat().st_size / 1e6:.1f} MB, {DELAY_S * 1e3:.0f} ms before each answer")
        for method in METHODS:
            plain = measure(server, method, "plain", truth)
            print(
                f"{method:8} first read {plain['seconds'][0]:6.2f} s, second {plain['seconds'][1]:6.2f} s; both together "
                f"{plain['requests']:4} requests, {plain['megabytes']:6.1f} MB; {plain['ends'][0]}",
                flush=True,
            )
            for kind in FAULTS:
                found = measure(server, method, kind, truth)
                print(
                    f"    {kind:8} {found['ends'][0]}, then {found['ends'][1]}; {found['requests']} requests, "
                    f"{found['megabytes']:.1f} MB, longest wait {found['longest_gap_s']:.1f} s",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
