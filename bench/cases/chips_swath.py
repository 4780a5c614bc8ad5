"""Chips by swath, and decoding alone: python chips_swath.py KIND FOLDER SIZE EDGE BATCHES. Prints JSON.

KIND: `places` (write the chips' positions as [row, column]), `chips` (swath, one thread), `windows` (rasterio alone reads the same
windows of image and labels), `blocks` (rasterio alone reads each block of both once).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import rasterio
from chips_data import labels
from pixels_data import BANDS, image
from rasterio.windows import Window

from swath.imagery.labels.labelled_image import find_labelled_images
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import LabelledImagery, RasterLabels
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import ColumnSplit
from swath.training.chips.chip_plan import plan_chips
from swath.training.chips.chips import Chips
from swath.training.chips.survey import survey, survey_windows
from swath.training.split.split import make_split

BATCH = 8
CACHE = 256 * 2**20


def main(words: list[str]) -> int:
    """Measure one kind."""
    kind, folder, size, edge, batches = words[0], Path(words[1]), int(words[2]), int(words[3]), int(words[4])
    pixels, known = image(folder, size), labels(folder, size)
    if kind == "blocks":
        result = timed(lambda: blocks(pixels) + blocks(known))
    elif kind == "windows":
        places = json.loads((folder / f"places-{size}.json").read_text())
        seen: list[int] = []
        result = timed(lambda: windows([pixels, known], places, edge, seen)) | {"labels": sum(seen)}
    else:
        chips = loader(pixels, known, edge)
        if kind == "places":
            found = [place for number in range(batches) for _, place in chips.chip_windows(number)]
            (folder / f"places-{size}.json").write_text(json.dumps([[each.row, each.col] for each in found]))
            return 0
        result = timed(lambda: sum(len(chips.batch(number).pixels) for number in range(batches)))
    print(json.dumps(result))
    return 0


def loader(pixels: Path, known: Path, edge: int) -> Chips:
    """Chips of swath, with an empty cache."""
    data = LabelledImagery(
        imagery=FilesImagery(paths=(str(pixels),), bands=BANDS), labels=RasterLabels(path=str(known))
    )
    names = tuple(f"class {name}" for name in BANDS)
    images = find_labelled_images((data,), None, names)
    split = make_split(ColumnSplit(validation=0.1), 0, [each.scenes for each in images])
    surveys = [survey(each, window, split, len(names)) for each in images for window in survey_windows(each)]
    return Chips(plan_chips(images, surveys, split, names), Sampling(chip=edge, batch=BATCH), 0, CACHE)


def windows(paths: list[Path], places: list[list[int]], edge: int, seen: list[int]) -> int:
    """Read the same windows, the files held open; each window's sum of labels goes to `seen`."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE), rasterio.open(paths[0]) as pixels, rasterio.open(paths[1]) as known:
        for row, col in places:
            window = Window(col, row, edge, edge)
            pixels.read(window=window).astype("float32")
            seen.append(int(known.read(1, window=window).sum()))
    return len(places)


def blocks(path: Path) -> int:
    """Read each block once."""
    with rasterio.Env(GDAL_CACHEMAX=16 * 2**20), rasterio.open(path) as file:
        for _, window in file.block_windows(1):
            file.read(window=window)
    return 0


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Wall and CPU seconds of `work`, and the number of chips that it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    chips = work()
    found = {"chips": chips, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return found | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
