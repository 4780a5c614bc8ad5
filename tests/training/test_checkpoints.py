"""Checkpoints outlive the process that learns, and where the output has an address also its machine."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from swath.spec.fields.network import BestEpoch
from swath.training import checkpoints
from swath.training.checkpoints import Checkpoints
from swath.training.loop.prefetch import NetworkBatch
from swath.training.loop.trainer import BEST, LAST, TrainingData, train_network
from tests.models.learn.course import course, held, images


def test_checkpoints_of_the_same_training_are_found_again_and_of_another_are_not(tmp_path: Path) -> None:
    to = str(tmp_path / "out")
    first = Checkpoints.of(to, "water", course())
    assert first == Checkpoints.of(to, "water", course())
    assert first.folder != Checkpoints.of(to, "water", course(seed=2)).folder
    assert (first.folder.parent, first.copies) == (tmp_path, "")
    away = Checkpoints.of("s3://bucket/out/", "water", course())
    assert away.folder.is_absolute()
    assert away.copies.startswith("s3://bucket/out/.water.training-")


class Gone(Exception):
    """The machine is switched off."""


@pytest.mark.parametrize("ends_at", [4, 7])
def test_another_machine_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_at: int
) -> None:
    asked = course(epochs=4, best=BestEpoch(metric="loss"))
    whole = train_network(asked, TrainingData(images, held, 2), tmp_path / "whole")

    def machine(name: str) -> Checkpoints:
        (tmp_path / name).mkdir()
        monkeypatch.setattr(checkpoints.tempfile, "gettempdir", lambda: str(tmp_path / name))
        return Checkpoints.of(f"file://{tmp_path}/out", "water", asked)

    def ends(step: int) -> NetworkBatch:
        if step == ends_at:
            raise Gone
        return images(step)

    first = machine("first")
    with pytest.raises(Gone):
        train_network(asked, TrainingData(ends, held, 2), first.folder, kept=lambda: first.copy(BEST, LAST))
    shutil.rmtree(tmp_path / "first")
    second = machine("second")
    second.fetch()
    seen: list[int] = []

    def batch(step: int) -> NetworkBatch:
        seen.append(step)
        return images(step)

    learned = train_network(asked, TrainingData(batch, held, 2), second.folder, kept=lambda: second.copy(BEST, LAST))
    assert seen[0] == ends_at // 3 * 3 > 0
    assert learned.weights == whole.weights
    assert learned.best.number == whole.best.number
    assert Path(second.copies.removeprefix("file://")).is_dir()
    second.remove()
    assert not second.folder.exists()
    assert not list((tmp_path / "out").iterdir())


def test_the_best_epoch_is_not_forgotten_where_the_folder_has_another_name(tmp_path: Path) -> None:
    asked = course(epochs=4)

    def misleads(step: int) -> NetworkBatch:
        """From the second epoch on, so that the first is the best."""
        batch = images(step)
        return batch if step < 3 else NetworkBatch(batch.pixels, np.where(batch.labels == 255, 255, 1 - batch.labels))

    def ends(step: int) -> NetworkBatch:
        if step == 7:
            raise Gone
        return misleads(step)

    whole = train_network(asked, TrainingData(misleads, held, 2), tmp_path / "whole")
    assert whole.best.number == 1
    with pytest.raises(Gone):
        train_network(asked, TrainingData(ends, held, 2), tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert train_network(asked, TrainingData(misleads, held, 2), tmp_path / "two").weights == whole.weights


def test_copies_that_cannot_be_made_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    kept = Checkpoints(tmp_path / "here", f"file://{tmp_path}/out/.water")
    kept.folder.mkdir()
    (kept.folder / LAST).write_bytes(b"weights")
    with caplog.at_level(logging.WARNING):
        kept.copy(BEST, LAST)
    assert "would outlive this machine" in caplog.text
