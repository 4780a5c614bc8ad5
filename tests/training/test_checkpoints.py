"""Checkpoints outlive the process that trains and, where the output is a URL, also its machine."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from swath.spec.fields.network import BestEpoch
from swath.training.checkpoints import Checkpoints
from swath.training.loop.prefetch import NetworkBatch
from swath.training.loop.trainer import BEST, LAST, TrainingData, train_network
from tests.training.example import example_batch, settings, validation


def test_checkpoints_of_the_same_training_are_found_again_and_of_another_are_not(tmp_path: Path) -> None:
    to = str(tmp_path / "out")
    first = Checkpoints.of(to, "water", settings())
    assert first == Checkpoints.of(to, "water", settings())
    assert first.folder != Checkpoints.of(to, "water", settings(seed=2)).folder
    assert (first.folder.parent, first.remote_folder) == (tmp_path, "")
    away = Checkpoints.of("s3://bucket/out/", "water", settings())
    assert away.folder.is_absolute()
    assert away.remote_folder.startswith("s3://bucket/out/.water.training-")


class Gone(Exception):
    """The machine is switched off."""


@pytest.mark.parametrize("ends_at", [4, 7])
def test_another_machine_goes_on_to_the_same_weights(tmp_path: Path, ends_at: int) -> None:
    asked = settings(epochs=4, best=BestEpoch(metric="loss"))
    whole = train_network(asked, TrainingData(example_batch, validation, 2), tmp_path / "whole")

    def machine(name: str) -> Checkpoints:
        (tmp_path / name).mkdir()
        return Checkpoints.of(f"file://{tmp_path}/out", "water", asked, temp=tmp_path / name)

    def ends(step: int) -> NetworkBatch:
        if step == ends_at:
            raise Gone
        return example_batch(step)

    first = machine("first")
    with pytest.raises(Gone):
        train_network(
            asked, TrainingData(ends, validation, 2), first.folder, on_checkpoint=lambda: first.upload(BEST, LAST)
        )
    shutil.rmtree(tmp_path / "first")
    second = machine("second")
    second.download()
    seen: list[int] = []

    def batch(step: int) -> NetworkBatch:
        seen.append(step)
        return example_batch(step)

    result = train_network(
        asked, TrainingData(batch, validation, 2), second.folder, on_checkpoint=lambda: second.upload(BEST, LAST)
    )
    assert seen[0] == ends_at // 3 * 3 > 0
    assert result.weights == whole.weights
    assert result.best.number == whole.best.number
    assert Path(second.remote_folder.removeprefix("file://")).is_dir()
    second.remove()
    assert not second.folder.exists()
    assert not list((tmp_path / "out").iterdir())


def test_the_best_epoch_is_not_forgotten_where_the_folder_has_another_name(tmp_path: Path) -> None:
    asked = settings(epochs=4)

    def misleads(step: int) -> NetworkBatch:
        """From the second epoch on, so that the first is the best."""
        batch = example_batch(step)
        return batch if step < 3 else NetworkBatch(batch.pixels, np.where(batch.labels == 255, 255, 1 - batch.labels))

    def ends(step: int) -> NetworkBatch:
        if step == 7:
            raise Gone
        return misleads(step)

    whole = train_network(asked, TrainingData(misleads, validation, 2), tmp_path / "whole")
    assert whole.best.number == 1
    with pytest.raises(Gone):
        train_network(asked, TrainingData(ends, validation, 2), tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert train_network(asked, TrainingData(misleads, validation, 2), tmp_path / "two").weights == whole.weights


def test_copies_that_cannot_be_made_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    local = Checkpoints(tmp_path / "here", f"file://{tmp_path}/out/.water")
    local.folder.mkdir()
    (local.folder / LAST).write_bytes(b"weights")
    with caplog.at_level(logging.WARNING):
        local.upload(BEST, LAST)
    assert "it is on this machine only" in caplog.text
