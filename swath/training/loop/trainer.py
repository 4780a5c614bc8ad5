"""train_network: the training loop with Lightning's Trainer: steps, validation, checkpoints, resuming, early stopping."""

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
"""Longest time between two checkpoints within an epoch."""


@dataclass(frozen=True)
class TrainingData:
    """The batches of a training and its validation windows."""

    batch: Callable[[int], NetworkBatch]
    """The batch of a step, from 0 on; the same at every call."""
    validation: Callable[[], Iterator[NetworkBatch]]
    """The whole validation split, in windows of sizes that the network takes."""
    validation_windows: int
    """Number of these windows; 0 without a validation split."""


def train_network(
    settings: TrainSettings,
    data: TrainingData,
    folder: Path,
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    on_checkpoint: Callable[[], object] = lambda: None,
) -> TrainResult:
    """Train a network. The last and the best checkpoint are in `folder`, written at the end of each epoch and every
    `checkpoint_interval_s` seconds within it; after each write `on_checkpoint` is called. Where the folder has a checkpoint, the
    training is resumed from it, with the batches that it would have had.

    Raises ModelError for a network or weights that do not fit and for a loss that is not finite, and what reading batches raises.
    """
    began = time.perf_counter()
    with _torch_settings(settings):
        network = build_network(settings.network, settings.bands, len(settings.classes), settings.seed, settings.source)
        module = SegmentationModule(network, settings, lambda epoch: _report(epoch, settings))
        feed = BatchFeed(data.batch, settings.epoch_steps, lambda: trainer.global_step)
        last = folder / LAST
        if last.is_file():
            log.info("resuming from the checkpoint %s", last)
        validation = None
        if data.validation_windows:
            validation = ValidationData(lambda: map(to_tensors, data.validation()), data.validation_windows)
        callbacks = [
            *_epoch_callbacks(settings, folder, on_checkpoint),
            _Progress(settings),
            _IntervalCheckpoint(last, checkpoint_interval_s, on_checkpoint),
        ]
        with _muted():
            trainer = _trainer(settings, callbacks)
            resume = last if last.is_file() else None
            trainer.fit(module, cast(Any, feed), cast(Any, validation), ckpt_path=resume, weights_only=True)
        best = folder / BEST
        checkpoint = best if validation is not None and best.is_file() else last
        load_weights(network, _network_state(read_state_dict(str(checkpoint))), str(checkpoint))
    seconds = time.perf_counter() - began
    epoch = _best_epoch(module.history, settings) if validation is not None else module.history[-1]
    data_wait = feed.waited_s / max(seconds, 1e-9)
    return TrainResult(encode_weights(network), tuple(module.history), epoch, seconds, data_wait)


def _network_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("loss.")}


def _best_epoch(history: list[Epoch], settings: TrainSettings) -> Epoch:
    """The epoch of best.ckpt: the first of the best."""
    sign = -1 if settings.best.metric == "loss" else 1
    values = [(epoch, epoch.metric(settings.best.metric, settings.classes)) for epoch in history]
    return max(values, key=lambda pair: float("-inf") if pair[1] is None else sign * pair[1])[0]


def _epoch_callbacks(settings: TrainSettings, folder: Path, on_checkpoint: Callable[[], object]) -> list[Callback]:
    mode = "min" if settings.best.metric == "loss" else "max"
    callbacks: list[Callback] = [
        _EpochCheckpoint(
            on_checkpoint, folder, filename=Path(BEST).stem, monitor="best", mode=mode, save_last=True,
            enable_version_counter=False, save_on_train_epoch_end=True,
        )
    ]  # fmt: skip
    if settings.best.patience is not None:
        patience = settings.best.patience
        callbacks.append(
            EarlyStopping("best", mode=mode, patience=patience, check_on_train_epoch_end=True, verbose=False)
        )
    return callbacks


def _trainer(settings: TrainSettings, callbacks: list[Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if settings.device == "cuda" else "cpu",
        devices=1,
        precision=settings.precision,
        max_epochs=settings.epochs,
        callbacks=callbacks,
        gradient_clip_val=settings.optimizer.clip,
        deterministic=True if settings.device == "cpu" else "warn",
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # one process, whatever variables a scheduler has set
    )


class _EpochCheckpoint(ModelCheckpoint):
    """Writes checkpoints at the end of each epoch."""

    def __init__(self, on_checkpoint: Callable[[], object], folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self._on_checkpoint = on_checkpoint

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._on_checkpoint()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning drops the best epoch when the folder's path is another one, as it may be on another machine."""
        folder = str(self.dirpath)

        def moved(path: str) -> str:
            return str(Path(folder) / Path(path).name) if path else path

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        paths = {name: moved(state_dict[name]) for name in names}
        scores = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": scores, "dirpath": folder})


class _Progress(Callback):
    """Reports the number of steps."""

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        progress(trainer.global_step, self._settings.steps)


class _IntervalCheckpoint(Callback):
    """Writes checkpoints within long epochs."""

    def __init__(self, file: Path, interval_s: float, on_checkpoint: Callable[[], object]) -> None:
        self._file, self._interval_s, self._on_checkpoint = file, interval_s, on_checkpoint
        self._written = time.monotonic()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not trainer.is_last_batch and time.monotonic() - self._written >= self._interval_s:
            trainer.save_checkpoint(self._file)
            self._on_checkpoint()
            self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._written = time.monotonic()


def _report(epoch: Epoch, settings: TrainSettings) -> None:
    line = [f"loss {epoch.loss:.3g}"]
    numbers = {"loss": epoch.loss}
    if epoch.counts:
        iou = {name: value for name, value in zip(settings.classes, epoch.iou, strict=True) if value is not None}
        line.append("IoU " + ", ".join(f"{name} {value:.3f}" for name, value in iou.items()))
        numbers |= {"mean IoU": epoch.mean_iou or 0.0, **{f"IoU {name}": value for name, value in iou.items()}}
    metrics({**numbers, "epoch": epoch.number, "learning rate": epoch.learning_rate})
    log.info("epoch %d/%d: %s", epoch.number, settings.epochs, ", ".join(line))


@contextmanager
def _torch_settings(settings: TrainSettings) -> Iterator[None]:
    """Torch's threads, determinism and random state for this training; restored afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[0] if settings.device == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def _muted() -> Iterator[None]:
    """Without Lightning's messages about hardware and settings."""
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
