"""Chips as files, for tools that want them so: each place of each split once."""

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
    from swath.training.chips.survey import ChipPlan

INDEX_FILE = "tiles.csv"
"""The file that is published last: of each pair its split, the two files and how many pixels each class has."""


def export_chips(plan: ChipPlan, sampling: Sampling, to: str, run: str, legend: Legend) -> Published:
    """Write pairs SPLIT-IMAGE-ROW-COLUMN.tif and ...-labels.tif of `sampling.chip` pixels and less at an image's edge, and their index.

    They lie side by side and hold each labelled pixel once; pairs with fewer labels than `sampling.min_valid` are left out. Pixels
    have the files' dtype, or float32 in physical values. A file's labels are those of its split: IGNORE_INDEX (255) elsewhere.
    """
    chips = Chips(plan, sampling, 0)
    wanted = [held for split in SPLITS for held in chips.windows(split, sampling.chip)]
    counts = np.zeros(len(SPLITS), np.int64)
    with Staging(to, run) as staging:
        index = staging.folder / INDEX_FILE
        with writing(index), index.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["split", "image", "labels", *plan.classes])
            for number, held in enumerate(wanted):
                batch = chips.window(held)
                found = np.bincount(batch.labels.ravel(), minlength=256)[: len(plan.classes)]
                if found.sum() >= max(1, sampling.min_valid * batch.labels[0].size):
                    scenes = plan.images[held.image].scenes
                    name = f"{SPLIT_NAMES[held.split]}-{held.image:03d}-{_plain(scenes.scenes[0].id)}"
                    name += f"-{held.window.row:06d}-{held.window.col:06d}"
                    place = scenes.image[held.window.roi]
                    pixels = batch.pixels[0] if plan.reflectance else batch.pixels[0].astype(common_dtype(scenes))
                    write_pixels(staging.folder / f"{name}.tif", pixels, batch.valid[0], place, scenes.bands)
                    write_labels(staging.folder / f"{name}-labels.tif", batch.labels[0], place, legend)
                    table.writerow([SPLIT_NAMES[held.split], f"{name}.tif", f"{name}-labels.tif", *found.tolist()])
                    counts[held.split] += 1
                progress(number + 1, len(wanted))
        about = {"numbers": {f"tiles, {SPLIT_NAMES[split]}": int(counts[split]) for split in SPLITS if counts[split]}}
        return staging.publish(about, manifests=(INDEX_FILE,))


def _plain(name: str) -> str:
    """A scene's id as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)
