"""The training loop, by Lightning: steps, validation, checkpoints, going on after an interruption, stopping early."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from swath.errors import MissingExtra
from swath.graph.call_context import metrics, progress
from swath.training.loop.epochs import Epoch
from swath.training.loop.networks import build_network, encode_weights, load_weights, read_state_dict
from swath.training.loop.prefetch import BatchFeed, NetworkBatch, to_tensors
from swath.training.loop.settings import TrainResult, TrainSettings
from swath.training.loop.torchvision_guard import import_torchvision

import_torchvision()
try:
    import lightning
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

    from swath.training.loop.lightning_module import SegmentationModule, ValidationData
except ImportError:
    raise MissingExtra("lightning", "train", "training a network") from None

log = logging.getLogger(__name__)

LAST, BEST = "last.ckpt", "best.ckpt"
CHECKPOINT_INTERVAL_S = 120.0
"""Within an epoch a checkpoint is written when the last one is so old."""


@dataclass(frozen=True)
class TrainingData:
    """What a training reads."""

    batch: Callable[[int], NetworkBatch]
    """The batch of a step, from 0 on; the same whenever it is asked for."""
    held: Callable[[], Iterator[NetworkBatch]]
    """The whole validation split, in windows whose sizes the network takes."""
    held_count: int
    """How many windows that are; 0 where nothing is held back."""


def train_network(
    course: TrainSettings,
    lessons: TrainingData,
    folder: Path,
    every_s: float = CHECKPOINT_INTERVAL_S,
    kept: Callable[[], object] = lambda: None,
) -> TrainResult:
    """Train a network. The last and the best checkpoint lie in `folder`, written at the end of each epoch and every `every_s` seconds
    in between, and then `kept` is called; when there is one from before, the training goes on from it, with the batches that it
    would have seen.

    Raises ModelError for a network or weights that do not fit and for a loss that is no number, and what reading batches raises.
    """
    began = time.perf_counter()
    with _settings(course):
        network = build_network(course.network, course.bands, len(course.classes), course.seed)
        learner = SegmentationModule(network, course, lambda epoch: _tell(epoch, course))
        feed = BatchFeed(lessons.batch, course.epoch_steps, lambda: trainer.global_step)
        last = folder / LAST
        if last.is_file():
            log.info("going on from the checkpoint %s", last)
        checkpoints = _checkpoints(course, folder, kept)
        held = (
            ValidationData(lambda: map(to_tensors, lessons.held()), lessons.held_count) if lessons.held_count else None
        )
        with _quiet():
            trainer = _trainer(course, [*checkpoints, _Steps(course), _Between(last, every_s, kept)])
            trainer.fit(
                learner, cast(Any, feed), cast(Any, held), ckpt_path=last if last.is_file() else None, weights_only=True
            )
        best = folder / BEST
        chosen = best if held is not None and best.is_file() else last
        load_weights(network, _own(read_state_dict(str(chosen))), str(chosen))
    seconds = time.perf_counter() - began
    epoch = _chosen(learner.history, course) if held is not None else learner.history[-1]
    return TrainResult(
        encode_weights(network), tuple(learner.history), epoch, seconds, feed.waited_s / max(seconds, 1e-9)
    )


def _own(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("loss.")}


def _chosen(history: list[Epoch], course: TrainSettings) -> Epoch:
    """The epoch whose weights were kept: the first of the best."""
    sign = -1 if course.best.metric == "loss" else 1
    told = [(epoch, epoch.metric(course.best.metric, course.classes)) for epoch in history]
    return max(told, key=lambda pair: float("-inf") if pair[1] is None else sign * pair[1])[0]


def _checkpoints(course: TrainSettings, folder: Path, kept: Callable[[], object]) -> list[Callback]:
    mode = "min" if course.best.metric == "loss" else "max"
    callbacks: list[Callback] = [
        _Epochs(
            kept, folder, filename=Path(BEST).stem, monitor="best", mode=mode, save_last=True,
            enable_version_counter=False, save_on_train_epoch_end=True,
        )
    ]  # fmt: skip
    if course.best.patience is not None:
        callbacks.append(
            EarlyStopping(
                "best", mode=mode, patience=course.best.patience, check_on_train_epoch_end=True, verbose=False
            )
        )
    return callbacks


def _trainer(course: TrainSettings, callbacks: list[Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if course.device == "cuda" else "cpu",
        devices=1,
        precision=course.precision,
        max_epochs=course.epochs,
        callbacks=callbacks,
        gradient_clip_val=course.optimizer.clip,
        deterministic=True if course.device == "cpu" else "warn",
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # one process, whatever scheduler's variables are around
    )


class _Epochs(ModelCheckpoint):
    """Writes checkpoints at the end of each epoch."""

    def __init__(self, kept: Callable[[], object], folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self._kept = kept

    def on_train_epoch_end(self, trainer: Any, learner: Any) -> None:
        super().on_train_epoch_end(trainer, learner)
        self._kept()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning forgets which epoch was the best when the folder has another name, as it may on another machine."""
        folder = str(self.dirpath)

        def here(path: str) -> str:
            return str(Path(folder) / Path(path).name) if path else path

        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": scores, "dirpath": folder})


class _Steps(Callback):
    """Tells how far the training is."""

    def __init__(self, course: TrainSettings) -> None:
        self._course = course

    def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        progress(trainer.global_step, self._course.steps)


class _Between(Callback):
    """Writes checkpoints within long epochs."""

    def __init__(self, file: Path, every_s: float, kept: Callable[[], object]) -> None:
        self._file, self._every_s, self._kept = file, every_s, kept
        self._written = time.monotonic()

    def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not trainer.is_last_batch and time.monotonic() - self._written >= self._every_s:
            trainer.save_checkpoint(self._file)
            self._kept()
            self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, learner: Any) -> None:
        self._written = time.monotonic()


def _tell(epoch: Epoch, course: TrainSettings) -> None:
    line = [f"loss {epoch.loss:.3g}"]
    numbers = {"loss": epoch.loss}
    if epoch.counts:
        iou = {name: value for name, value in zip(course.classes, epoch.iou, strict=True) if value is not None}
        line.append("IoU " + ", ".join(f"{name} {value:.3f}" for name, value in iou.items()))
        numbers |= {"mean IoU": epoch.mean_iou or 0.0, **{f"IoU {name}": value for name, value in iou.items()}}
    metrics({**numbers, "epoch": epoch.number, "learning rate": epoch.learning_rate})
    log.info("epoch %d/%d: %s", epoch.number, course.epochs, ", ".join(line))


@contextmanager
def _settings(course: TrainSettings) -> Iterator[None]:
    """Torch as this training wants it, and afterwards as it was."""
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(course.threads)
    try:
        with torch.random.fork_rng(devices=[0] if course.device == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact, warn_only=warned)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's words about hardware, tips and what it would do otherwise."""
    names = (
        "lightning.pytorch",
        "lightning.fabric",
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.rank_zero",
    )
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
