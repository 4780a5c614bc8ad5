"""SegmentationModule: the training step, optimizer and validation of one network, as a LightningModule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.predictor import cause
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.loop.augment import augment_batch
from swath.training.loop.epochs import Epoch, scores_of_counts
from swath.training.loop.losses import SegmentationLoss

if TYPE_CHECKING:
    from swath.training.loop.settings import TrainSettings


class SegmentationModule(lightning.LightningModule):
    """A network with its loss, optimizer and metrics. Checkpoints hold the history of the epochs."""

    def __init__(self, network: nn.Module, settings: TrainSettings, on_epoch: Callable[[Epoch], None]) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = SegmentationLoss(settings.loss, settings.class_weights)
        self.settings = settings
        self.history: list[Epoch] = []
        self._on_epoch = on_epoch
        self._began = time.perf_counter()
        self._losses: list[Tensor] = []
        self._counts = np.zeros((len(settings.classes),) * 2, np.int64)
        self._validation_loss = [0.0, 0.0]
        """Sum over labelled pixels, and their number."""

    def configure_optimizers(self) -> Any:
        spec = self.settings.optimizer
        optimizer = torch.optim.AdamW(self.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=spec.learning_rate, total_steps=max(self.settings.steps, 2), pct_start=spec.warmup
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self._began = time.perf_counter()
        if self.global_step % self.settings.epoch_steps == 0:  # otherwise it was resumed within an epoch
            self._losses = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Random numbers of the network, such as dropout's, depend on the step and not on earlier draws.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = augment_batch(*batch, self.settings.augment, self.settings.seed, self.global_step)
        loss: Tensor = self.loss(self._logits(images), labels)
        self._losses.append(loss.detach())
        return loss

    def _logits(self, images: Tensor) -> Tensor:
        """What the network gives. Raises ModelError where it cannot be run on these images, which is the same in each attempt."""
        try:
            logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, NotImplementedError) as error:
            if "can't allocate memory" in str(error) or "CUDA" in str(error):  # of the machine, not of the network
                raise
            raise network_error(self.settings.network.name, tuple(images.shape), error) from error
        return logits

    def on_validation_epoch_start(self) -> None:
        self._counts[:] = 0
        self._validation_loss = [0.0, 0.0]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        labelled = labels != IGNORE_INDEX
        if not labelled.any():
            return
        logits = self._logits(images)
        pixels = int(labelled.sum())
        self._validation_loss[0] += float(self.loss(logits, labels)) * pixels
        self._validation_loss[1] += pixels
        classes = len(self._counts)
        pairs = labels[labelled].long() * classes + logits.argmax(1)[labelled]
        self._counts += torch.bincount(pairs, minlength=classes**2).cpu().numpy().reshape(classes, classes)

    def on_train_epoch_end(self) -> None:
        """Runs after the validation of this epoch, and before its checkpoint is written."""
        loss = float(torch.stack(self._losses).mean()) if self._losses else 0.0
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        if not math.isfinite(loss):
            raise ModelError(
                f"epoch {self.current_epoch + 1}: the loss is no longer a finite number",
                remedy="Lower optimizer.learning_rate, or set precision to 32.",
            )
        seconds = time.perf_counter() - self._began
        epoch = Epoch(self.current_epoch + 1, self.global_step, loss, rate, seconds)
        if self._validation_loss[1]:
            iou, mean, accuracy = scores_of_counts(self._counts)
            counts = tuple(tuple(int(n) for n in row) for row in self._counts)
            validation = self._validation_loss[0] / self._validation_loss[1]
            epoch = replace(epoch, validation_loss=validation, counts=counts, iou=iou, mean_iou=mean, accuracy=accuracy)
        self.history.append(epoch)
        best = self.settings.best
        metric = epoch.metric(best.metric, self.settings.classes) if epoch.counts else None
        worst = float("inf") if best.metric == "loss" else 0.0
        self.log("best", torch.tensor(worst if metric is None else metric))
        self._on_epoch(epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = [asdict(epoch) for epoch in self.history]
        checkpoint["losses"] = torch.stack(self._losses).cpu() if self._losses else torch.empty(0)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = [
            Epoch(**{**each, "counts": tuple(map(tuple, each["counts"])), "iou": tuple(each["iou"])})
            for each in checkpoint["history"]
        ]
        self._losses = list(checkpoint["losses"])


def network_error(name: str, shape: tuple[int, ...], error: Exception) -> ModelError:
    """The error of a network that raised `error` on images of this shape."""
    size = " x ".join(map(str, shape))
    if "more than 1 value per channel" in str(error):
        return ModelError(
            f"network {name}: its batch norm gets one value per channel from images of {size} (batch, bands, height, width), and "
            "cannot be trained on it",
            remedy="Set sampling.batch to 2 or more: the network pools over the whole image before a batch norm.",
        )
    return ModelError(
        f"network {name}: fails on images of {size} (batch, bands, height, width): {cause(error)}",
        remedy="Change sampling.chip, sampling.batch, or the network and its options; the same call would fail again.",
    )


class ValidationData:
    """Iterates over the windows of the validation split, as tensors."""

    def __init__(self, windows: Callable[[], Iterator[tuple[Tensor, Tensor]]], length: int) -> None:
        self._windows = windows
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._windows()
