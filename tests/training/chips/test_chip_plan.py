"""A plan without labels to train on, or to validate on, is an error before the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import ImageryError
from swath.spec.fields.split import BlockSplit
from tests.training.chips.images import pair, planned


def test_nothing_to_compare_by_is_told_before_the_training(tmp_path: Path) -> None:
    images, _, _ = pair(tmp_path, (60, 60))
    with pytest.raises(ImageryError, match=r"no labelled pixel is in (train|validation).*\n.*size_m"):
        planned(images, BlockSplit(size_m=50_000), 1)
