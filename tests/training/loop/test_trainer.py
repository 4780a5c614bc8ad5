"""The training loop: what it reaches, and what does not depend on how often it was interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from swath.errors import ModelError
from swath.graph.call_context import reporting_to
from swath.spec.fields.network import BestEpoch, Optimizer
from swath.training.loop.prefetch import NetworkBatch
from swath.training.loop.trainer import LAST, TrainingData, train_network
from tests.process import ROOT
from tests.training.example import data, example_batch, settings, validation


@pytest.mark.slow
def test_a_network_learns_and_two_trainings_of_one_seed_give_the_same_weights(tmp_path: Path) -> None:
    long = settings(epochs=4, epoch_steps=10)
    one, two = train_network(long, data(), tmp_path / "one"), train_network(long, data(), tmp_path / "two")
    assert one.best.mean_iou is not None
    assert one.best.mean_iou > 0.7
    assert one.history[0].loss > one.history[-1].loss
    assert hashlib.sha256(one.weights).digest() == hashlib.sha256(two.weights).digest()
    other = train_network(dataclasses.replace(long, seed=2), data(), tmp_path / "three")
    assert other.weights != one.weights


@pytest.mark.slow
@pytest.mark.parametrize(("interval_s", "resumed_at"), [(1e9, 3), (0, 4)], ids=["after an epoch", "within an epoch"])
def test_a_training_that_was_killed_goes_on_with_the_same_batches_to_the_same_weights(
    tmp_path: Path, interval_s: float, resumed_at: int
) -> None:
    whole = train_network(settings(), data(), tmp_path / "whole")
    script = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from swath.training.loop.trainer import TrainingData, train_network\n"
        "from tests.training.example import example_batch, settings, validation\n"
        "def batch(step):\n"
        "    if step == 5:\n"
        f"        last = Path(sys.argv[1]) / {LAST!r}\n"
        f"        while not last.is_file() or torch.load(last)['global_step'] < {resumed_at}: pass\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return example_batch(step)\n"
        f"train_network(settings(), TrainingData(batch, validation, 2), Path(sys.argv[1]), {interval_s})\n"
    )
    folder = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen: list[int] = []

    def batch(step: int) -> NetworkBatch:
        seen.append(step)
        return example_batch(step)

    resumed = train_network(settings(), TrainingData(batch, validation, 2), folder)
    assert seen == list(range(seen[0], 6))
    assert seen[0] == 3 if interval_s else seen[0] in (4, 5)
    assert resumed.weights == whole.weights
    assert [(e.loss, e.counts) for e in resumed.history] == [(e.loss, e.counts) for e in whole.history]


def test_a_finished_training_that_is_asked_for_again_gives_what_it_gave(tmp_path: Path) -> None:
    first = train_network(settings(), data(), tmp_path)
    assert train_network(settings(), data(), tmp_path).weights == first.weights


def test_the_confusion_matrix_has_every_labelled_pixel_of_the_split_once(tmp_path: Path) -> None:
    result = train_network(settings(), data(), tmp_path)
    labelled = sum(int((each.labels != 255).sum()) for each in validation())
    assert [sum(map(sum, epoch.counts)) for epoch in result.history] == [labelled, labelled]


def test_the_best_epoch_is_kept_and_patience_ends_a_training(tmp_path: Path) -> None:
    still = settings(epochs=6, optimizer=Optimizer(learning_rate=1e-12), best=BestEpoch(metric="loss", patience=2))
    result = train_network(still, data(), tmp_path)
    assert len(result.history) < 6
    losses = [epoch.validation_loss for epoch in result.history if epoch.validation_loss is not None]
    assert result.best.validation_loss == min(losses)


def test_without_a_validation_split_the_last_weights_are_kept(tmp_path: Path) -> None:
    result = train_network(settings(), TrainingData(example_batch, validation, 0), tmp_path)
    assert (result.best.number, result.best.counts) == (2, ())


def test_a_training_tells_its_progress_and_a_line_for_each_epoch_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    heard: list[tuple[float | None, float | None]] = []
    told: list[Mapping[str, float]] = []
    with reporting_to(lambda done, total, *_: heard.append((done, total)), "run", told.append):
        train_network(settings(), data(), tmp_path / "kept")
    assert heard == [(step, 6) for step in range(1, 7)]
    assert [list(each)[:2] for each in told] == [["loss", "mean IoU"]] * 2
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "IoU land 0." in lines[0]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_error_in_reading_ends_the_training_with_that_error(tmp_path: Path) -> None:
    def batch(step: int) -> NetworkBatch:
        raise ModelError("the disk is gone")

    with pytest.raises(ModelError, match="the disk is gone"):
        train_network(settings(), TrainingData(batch, validation, 2), tmp_path)


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    def batch(step: int) -> NetworkBatch:
        pixels, labels = example_batch(step)
        return NetworkBatch(pixels * float("nan"), labels)

    with pytest.raises(ModelError, match="no longer a finite number"):
        train_network(settings(), TrainingData(batch, validation, 2), tmp_path)
