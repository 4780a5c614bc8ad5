"""Learning curves as CSV and as a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from swath.training.loop.curves import curves_csv, draw_curves
from swath.training.loop.epochs import Epoch

HISTORY = (
    Epoch(1, 10, 0.9, 0.004, 1.0, 0.8, ((5, 5), (0, 10)), (0.5, 2 / 3), 0.58, 0.75),
    Epoch(2, 20, 0.5, 0.0, 1.0, 0.6, ((9, 1), (0, 10)), (0.9, 10 / 11), 0.905, 0.95),
)


def test_the_curves_csv_has_a_line_for_each_epoch() -> None:
    lines = curves_csv(HISTORY, ("land", "water")).splitlines()
    assert lines[0] == "epoch,step,loss,learning_rate,validation_loss,mean_iou,accuracy,iou land,iou water"
    assert lines[2] == "2,20,0.5,0,0.6,0.905,0.95,0.9,0.909091"
    assert len(lines) == 3


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], (Epoch(1, 10, 0.9, 0.004, 1.0),)], ids=["two", "one", "no"])
def test_the_curves_are_drawn_with_or_without_validation(tmp_path: Path, history: tuple[Epoch, ...]) -> None:
    draw_curves(tmp_path / "curves.png", history, ("land", "water"), ("E6DFC8", "2B7BBA"), 1)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size[1] > 300
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 20
