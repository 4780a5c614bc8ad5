"""The same map by other libraries, as their documentation shows it: torch's default settings, argmax(1), GeoTIFF and then COG.

Run by bench/pixels.py: python bench/cases/pixels_peers.py KIND MODEL FOLDER IMAGE OUT. Prints {"missing": NAME} when a library
of that kind is not installed.
"""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from pixels_models import HALO, SCALE, read
from rasterio.shutil import copy
from rasterio.windows import Window
from torch import nn

TILE = 512
CHUNK = 1024
"""Of rioxarray and dask."""


class Job:
    """One model on one image."""

    def __init__(self, name: str, folder: Path, image: Path, out: Path) -> None:
        self.network: nn.Module = read(name, folder)
        self.halo = HALO[name]
        self.image = image
        self.plain = out.with_suffix(".plain.tif")
        self.out = out
        with rasterio.open(image) as file:
            self.height, self.width = file.shape
            self.bounds, self.crs, self.transform = file.bounds, file.crs, file.transform

    def classes(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """(bands, h, w) of the file's numbers to (1, h, w)."""
        with torch.no_grad():
            scores = self.network(torch.from_numpy(pixels.astype(np.float32) * SCALE)[None])
            result: NDArray[np.uint8] = scores.argmax(1).to(torch.uint8).numpy()
        return result

    def create(self) -> Any:
        """The GeoTIFF that the map is written to first."""
        return rasterio.open(
            self.plain, "w", driver="GTiff", width=self.width, height=self.height, count=1, dtype="uint8", tiled=True,
            blockxsize=512, blockysize=512, compress="deflate", crs=self.crs, transform=self.transform,
        )  # fmt: skip

    def publish(self) -> None:
        """The COG that all end with."""
        copy(self.plain, self.out, driver="COG", compress="DEFLATE", blocksize=512, overview_resampling="nearest")
        self.plain.unlink()


def loop(job: Job) -> None:
    """rasterio: read a window with halo, predict, write the middle."""
    halo = job.halo
    with rasterio.open(job.image) as source, job.create() as target:
        for row in range(0, job.height, TILE):
            for col in range(0, job.width, TILE):
                top, left = max(0, row - halo), max(0, col - halo)
                bottom, right = min(job.height, row + TILE + halo), min(job.width, col + TILE + halo)
                found = job.classes(source.read(window=Window(left, top, right - left, bottom - top)))
                inner = found[0, row - top : row - top + TILE, col - left : col - left + TILE]
                target.write(inner, 1, window=Window(col, row, inner.shape[1], inner.shape[0]))


def xarray(job: Job) -> None:
    """rioxarray, with dask's overlap."""
    import dask.array as da
    import rioxarray
    import xarray as xr

    image = rioxarray.open_rasterio(job.image, chunks=(-1, CHUNK, CHUNK), lock=False)
    depth = {0: 0, 1: job.halo, 2: job.halo}
    wide = da.overlap.overlap(image.data, depth=depth, boundary="none")
    found = wide.map_blocks(job.classes, dtype="u1", chunks=((1,), *wide.chunks[1:]), meta=np.empty((0, 0, 0), "u1"))
    found = da.overlap.trim_overlap(found, depth=depth, boundary="none")
    map_ = xr.DataArray(found, dims=("band", "y", "x"), coords={"band": [1], "y": image.y, "x": image.x})
    map_.rio.write_crs(image.rio.crs).rio.to_raster(
        job.plain, tiled=True, blockxsize=512, blockysize=512, compress="deflate", lock=threading.Lock()
    )


def torchgeo(job: Job) -> None:
    """torchgeo: a grid of overlapping samples, two loading processes."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    class Images(RasterDataset):  # type: ignore[misc]
        filename_glob = job.image.name
        is_image = True

    data = Images(paths=str(job.image.parent), crs=job.crs, res=job.transform.a)
    halo, edge = job.halo, TILE + 2 * job.halo
    sampler = GridGeoSampler(data, size=edge, stride=TILE, units=Units.PIXELS)
    loader = DataLoader(data, batch_size=4, sampler=sampler, num_workers=2, collate_fn=stack_samples)
    written = 0
    with job.create() as target, torch.no_grad():
        for batch in loader:
            found = job.network(batch["image"].float() * float(SCALE)).argmax(1).to(torch.uint8).numpy()
            for sample, bounds in zip(found, batch["bounds"], strict=True):
                left, top = _corner(bounds)
                col = round((left - job.transform.c) / job.transform.a)
                row = round((top - job.transform.f) / job.transform.e)
                first_row, first_col = (
                    (row + halo if row > 0 else max(row, 0)),
                    (col + halo if col > 0 else max(col, 0)),
                )
                last_row = min(row + edge - (halo if row + edge < job.height else 0), job.height)
                last_col = min(col + edge - (halo if col + edge < job.width else 0), job.width)
                inner = sample[first_row - row : last_row - row, first_col - col : last_col - col]
                if inner.size:
                    window = Window(first_col, first_row, inner.shape[1], inner.shape[0])
                    target.write(np.ascontiguousarray(inner), 1, window=window)
                    written += inner.size
    if written < job.height * job.width:
        raise SystemExit(f"torchgeo's samples cover {written} of {job.height * job.width} pixels")


def _corner(bounds: Any) -> tuple[float, float]:
    """Left and top of a sample, from the bounds of any version of torchgeo."""
    if isinstance(bounds, tuple):
        return float(bounds[0].start), float(bounds[1].stop)
    numbers = [float(n) for n in bounds]
    return numbers[0], numbers[4 if len(numbers) > 6 else 3]


KINDS: dict[str, Callable[[Job], None]] = {"loop": loop, "xarray": xarray, "torchgeo": torchgeo}


def main(words: list[str]) -> int:
    """Make one map."""
    kind, name, folder, image, out = words[0], words[1], *map(Path, words[2:5])
    warnings.filterwarnings("ignore")
    job = Job(name, folder, image, out)
    try:
        KINDS[kind](job)
    except ImportError as error:
        print(json.dumps({"missing": error.name or str(error)}))
        return 0
    job.publish()
    with rasterio.open(out) as made:
        middle = Window(made.width // 4, made.height // 4, made.width // 2, made.height // 2)
        counts = np.bincount(made.read(1, window=middle).ravel(), minlength=5).tolist()
    print(json.dumps({"classes": counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
