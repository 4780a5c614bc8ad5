"""The sampler draws every class, or every labelled pixel, equally often."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swath.imagery.labels.labelled_image import find_labelled_images
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import LabelledImagery, RasterLabels
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import ColumnSplit
from swath.training.chips.chips import Chips
from tests.imagery.rasters import write
from tests.training.chips.images import CLASSES, pair, planned


def test_chips_are_centred_on_each_class_as_often(tmp_path: Path) -> None:
    shape = (800, 800)
    labels = np.zeros(shape, np.uint8)
    labels[100:110, 120:125] = 1  # one pixel in thirteen thousand
    image = write(tmp_path / "a.tif", np.full((1, *shape), 9, np.uint8))
    known = write(tmp_path / "l.tif", labels[None])
    data = LabelledImagery(imagery=FilesImagery(paths=(str(image),)), labels=RasterLabels(path=str(known)))
    found = planned(find_labelled_images((data,), None, CLASSES), ColumnSplit())
    shares = {}
    for balance in ("classes", "none"):
        chips = Chips(found, Sampling(chip=33, batch=50, balance=balance), 1)
        middle = np.concatenate([chips.batch(number).labels[:, 16, 16] for number in range(8)])
        shares[balance] = (middle == 1).mean()
    assert 0.42 < shares["classes"] < 0.58
    assert shares["none"] < 0.01


def test_without_balance_every_labelled_pixel_is_as_likely(tmp_path: Path) -> None:
    images, _, _ = pair(tmp_path, (64, 256))
    chips = Chips(planned(images, ColumnSplit(validation=0.5)), Sampling(chip=8, batch=400, min_valid=0), 1)
    target = chips._sampler
    chance = np.random.default_rng(0)
    cols = [target.draw(chance).cell.col for _ in range(4000)]
    assert abs(np.mean(np.array(cols) == 0) - 0.5) < 0.04
    assert set(cols) == {0, 64}
