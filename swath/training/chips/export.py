"""Export of chips as GeoTIFF pairs of image and labels, for other tools: each labelled pixel of each split once."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np

from swath.graph.call_context import progress
from swath.imagery.reading.mosaic import common_dtype
from swath.storage.durable_write import writing
from swath.storage.publication import Published, Staging
from swath.training.chips.chip_geotiff import write_labels, write_pixels
from swath.training.chips.chips import Chips
from swath.training.chips.survey import SPLITS
from swath.training.split.split import SPLIT_NAMES

if TYPE_CHECKING:
    from swath.maps.legend import Legend
    from swath.spec.fields.sampling import Sampling
    from swath.training.chips.chip_plan import ChipPlan

INDEX_FILE = "tiles.csv"
"""Of each pair its split, the two files and the number of pixels of each class. Published last."""


def export_chips(plan: ChipPlan, sampling: Sampling, to: str, run: str, legend: Legend) -> Published:
    """Write pairs SPLIT-IMAGE-ROW-COLUMN.tif and ...-labels.tif of `sampling.chip` pixels, less at an image's edge, and their
    index.

    Chips do not overlap and have each labelled pixel once; pairs with fewer labels than `sampling.min_valid` are left out. Pixels
    have the files' dtype, or float32 in physical values. A file's labels are those of its split; IGNORE_INDEX (255) elsewhere.
    """
    chips = Chips(plan, sampling, 0)
    windows = [window for split in SPLITS for window in chips.split_windows(split, sampling.chip)]
    written = np.zeros(len(SPLITS), np.int64)
    with Staging(to, run) as staging:
        index = staging.folder / INDEX_FILE
        with writing(index), index.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["split", "image", "labels", *plan.classes])
            for number, chip in enumerate(windows):
                batch = chips.window_batch(chip)
                counts = np.bincount(batch.labels.ravel(), minlength=256)[: len(plan.classes)]
                if counts.sum() >= max(1, sampling.min_valid * batch.labels[0].size):
                    scenes = plan.images[chip.image].scenes
                    name = f"{SPLIT_NAMES[chip.split]}-{chip.image:03d}-{_file_name(scenes.scenes[0].id)}"
                    name += f"-{chip.window.row:06d}-{chip.window.col:06d}"
                    grid = scenes.image[chip.window.roi]
                    pixels = batch.pixels[0] if plan.reflectance else batch.pixels[0].astype(common_dtype(scenes))
                    write_pixels(staging.folder / f"{name}.tif", pixels, batch.valid[0], grid, scenes.bands)
                    write_labels(staging.folder / f"{name}-labels.tif", batch.labels[0], grid, legend)
                    table.writerow([SPLIT_NAMES[chip.split], f"{name}.tif", f"{name}-labels.tif", *counts.tolist()])
                    written[chip.split] += 1
                progress(number + 1, len(windows))
        numbers = {f"tiles, {SPLIT_NAMES[split]}": int(written[split]) for split in SPLITS if written[split]}
        return staging.publish({"numbers": numbers}, manifests=(INDEX_FILE,))


def _file_name(scene_id: str) -> str:
    """A scene's id as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", scene_id)
