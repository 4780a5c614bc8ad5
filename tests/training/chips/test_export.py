"""Chips that are written as files are what training reads, each place once, with its split."""

import csv
from pathlib import Path

import numpy as np
import rasterio

from swath.maps.legend import legend_from_classes
from swath.spec.fields.labels import IGNORE_INDEX, LabelClass
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import BlockSplit
from swath.training.chips.export import INDEX_FILE, export_chips
from swath.training.split.split import SPLIT_NAMES
from tests.training.chips.images import CLASSES, pair, planned


def test_files_hold_each_labelled_pixel_once_in_its_place(tmp_path: Path) -> None:
    images, pixels, labels = pair(tmp_path, (300, 333))
    plan = planned(images, BlockSplit(size_m=800, buffer_m=40, test=0.2), 3)
    legend = legend_from_classes(LabelClass(name=name) for name in CLASSES)
    published = export_chips(plan, Sampling(chip=64, min_valid=0), str(tmp_path / "tiles"), "run", legend)
    splits = plan.split.of_scenes(images[0].scenes, plan.surveys[0].window)
    found = np.full((len(SPLIT_NAMES), *labels.shape), IGNORE_INDEX, np.uint8)
    with (tmp_path / "tiles" / INDEX_FILE).open() as file:
        rows = list(csv.DictReader(file))
    assert len(published.files) == 2 * len(rows) + 1
    for row in rows:
        number = SPLIT_NAMES.index(row["split"])
        with (
            rasterio.open(tmp_path / "tiles" / row["image"]) as image,
            rasterio.open(tmp_path / "tiles" / row["labels"]) as known,
        ):
            left, top = (image.transform.c - 500_000) / 10, (5_000_000 - image.transform.f) / 10
            here = np.s_[int(top) : int(top) + image.height, int(left) : int(left) + image.width]
            assert image.crs == known.crs == "EPSG:32633"
            assert image.descriptions == ("green", "nir")
            assert known.nodata == IGNORE_INDEX
            values, seen = image.read(), image.read_masks(1) > 0
            assert values.dtype == np.uint8
            assert (values == np.where(seen, pixels[:, *here], 0)).all()
            assert not (seen & (splits[here] > 0) & (splits[here] < 250)).any() or number > 0
            written = known.read(1)
            assert (found[number, *here] == IGNORE_INDEX).all()
            found[number, *here] = written
            assert [int(row[name]) for name in CLASSES] == [int((written == n).sum()) for n in range(2)]
    for number in range(len(SPLIT_NAMES)):
        assert (found[number] == np.where(splits == number, labels, IGNORE_INDEX)).all()
