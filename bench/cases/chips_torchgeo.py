"""The same chips by torchgeo's datasets and a DataLoader: python chips_torchgeo.py IMAGE LABELS PLACES EDGE WORKERS. Prints JSON.

Needs nothing of swath: it is run by the Python that has torchgeo.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples

BATCH = 8


class Pixels(RasterDataset):
    """The image."""

    filename_glob = "textured-*.tif"


class Known(RasterDataset):
    """Its labels."""

    filename_glob = "labels-*.tif"
    is_image = False


def main(words: list[str]) -> int:
    """Read all chips once."""
    warnings.simplefilter("ignore")
    places, edge, workers = json.loads(Path(words[2]).read_text()), int(words[3]), int(words[4])
    torch.set_num_threads(1)
    pixels = Pixels(paths=[words[0]])
    both = pixels & Known(paths=[words[1]])
    x, y, t = both.bounds
    step = x.step
    queries = [
        (
            slice(x.start + col * step, x.start + (col + edge) * step, step),
            slice(y.stop - (row + edge) * step, y.stop - row * step, step),
            t,
        )
        for row, col in places
    ]
    loader = DataLoader(both, sampler=queries, batch_size=BATCH, num_workers=workers, collate_fn=stack_samples)
    wall, cpu, made, labels = time.perf_counter(), sum(os.times()[:4]), 0, 0
    for batch in loader:
        made += len(batch["image"])
        labels += int(batch["mask"].sum())
        if batch["image"].shape[1:] != (4, edge, edge) or batch["mask"].shape[1:] != (edge, edge):
            raise SystemExit(f"chips have the shape {tuple(batch['image'].shape)}")
    told = {"chips": made, "labels": labels, "wall_s": time.perf_counter() - wall}
    del loader, batch
    print(json.dumps(told | {"cpu_s": sum(os.times()[:4]) - cpu}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
