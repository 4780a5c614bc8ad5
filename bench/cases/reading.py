"""The overhead of reading: swath.imagery.reading.mosaic against bare rasterio, in processor time, in one run.

python bench/cases/reading.py FOLDER [EDGE]. FOLDER keeps the images (bench/cases/pixels_data.py). Each case reads the same windows both
ways, each time from files that were just opened, in turns; the ratio of the medians is what to compare between machines.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rasterio
from pixels_data import image
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from swath.geo import Window
from swath.imagery.reading.dataset_cache import DATASETS, WARP_TOLERANCE
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery

TURNS = 3
BLOCK, HALO = 512, 48
CACHE = 256 * 2**20
"""Block cache of the bare reads in bytes: enough to decode each block once."""


def main(words: list[str]) -> int:
    """Measure all cases and print them."""
    folder, edge = Path(words[0]), int(words[1]) if len(words) > 1 else 4096
    path = image(folder, edge)
    halves = [half(path, folder, name, first, edge * 5 // 8) for name, first in (("west", 0), ("east", edge * 3 // 8))]
    plain, other = scenes(path), GridSpec(crs="EPSG:32632", resolution=10)
    pair, warped = scenes(*halves), scenes(path, grid=other, resampling="bilinear")
    print(f"{path.name}, in bands of {BLOCK} rows and {HALO} more on each side; CPU ms per Mpx that is read")
    compare("native", plain, lambda: bare([path], plain))
    compare("native, nodata declared", scenes(path, nodata=0), lambda: bare([path], plain))
    compare("mosaic of two, a quarter in both", pair, lambda: bare(halves, pair))
    compare(
        f"warped, to {WARP_TOLERANCE} pixels, against one warp",
        warped,
        lambda: one_warp(path, warped, WARP_TOLERANCE),
        whole=True,
    )
    compare("warped, against one warp to 0.125 pixels", warped, lambda: one_warp(path, warped, 0.125), whole=True)
    return 0


def scenes(*paths: Path, grid: GridSpec | None = None, **spec: object) -> Scenes:
    """The files as swath finds them."""
    imagery = FilesImagery.model_validate({"paths": [str(path) for path in paths], **spec})
    return find(imagery, None, None, grid)


def half(path: Path, folder: Path, name: str, first: int, columns: int) -> Path:
    """Some columns of an image as a file of the same layout."""
    made = folder / f"{path.stem}-{name}.tif"
    if not made.exists():
        with rasterio.open(path) as source:
            window = RasterWindow(first, 0, columns, source.height)
            profile = {k: v for k, v in source.profile.items() if k not in ("width", "transform")}
            with rasterio.open(
                made, "w", **profile, width=columns, transform=source.window_transform(window), predictor=2
            ) as target:
                target.write(source.read(window=window))
    return made


def bands(scenes: Scenes, *, whole: bool = False) -> Iterator[Window]:
    """The windows that are read, one below the other."""
    height, width = scenes.image.shape
    if whole:
        yield Window(0, 0, height, width)
        return
    for row in range(0, height, BLOCK):
        low, high = max(0, row - HALO), min(height, row + BLOCK + HALO)
        yield Window(low, 0, high - low, width)


def ours(scenes: Scenes, *, whole: bool) -> None:
    """All windows by swath."""
    DATASETS.close()
    for window in bands(scenes, whole=whole):
        read_mosaic(scenes, window)


def bare(paths: list[Path], scenes: Scenes) -> None:
    """The same rows of each file by rasterio."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_NUM_THREADS=1):
        for path in paths:
            with rasterio.open(path, sharing=False) as file:
                for window in bands(scenes):
                    file.read(window=RasterWindow(0, window.row, file.width, window.height))


def one_warp(path: Path, scenes: Scenes, tolerance: float) -> None:
    """The whole image in one warp."""
    height, width = scenes.image.shape
    grid = {"crs": CRS.from_epsg(32632), "transform": scenes.image.affine, "height": height, "width": width}
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_NUM_THREADS=1),
        rasterio.open(path, sharing=False) as file,
        WarpedVRT(file, resampling=Resampling.bilinear, tolerance=tolerance, add_alpha=True, **grid) as warp,
    ):
        warp.read()


def compare(name: str, scenes: Scenes, other: Callable[[], None], *, whole: bool = False) -> None:
    """Both ways in turns; prints the medians and their ratio."""
    taken: list[tuple[float, float]] = []
    for _ in range(TURNS):
        taken.append((cpu(other), cpu(lambda: ours(scenes, whole=whole))))
    floor, mine = (statistics.median(column) for column in zip(*taken, strict=True))
    megapixels = scenes.image.shape[0] * scenes.image.shape[1] / 1e6
    print(
        f"{name:48} {floor / megapixels * 1e3:7.1f} {mine / megapixels * 1e3:7.1f}   x {mine / floor:.2f}", flush=True
    )


def cpu(work: Callable[[], None]) -> float:
    """Processor seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
