"""Errors of networks in a training: told once, with the remedy, as the same call would fail again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.spec.fields.network import Network
from swath.training.loop.trainer import train_network
from tests.training.example import data, example_batch, settings


class Pooled(nn.Module):
    """Pools over the whole image before a batch norm, as DeepLabV3 and PAN do."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(bands, classes, 3, padding=1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(classes))

    def forward(self, images: Tensor) -> Tensor:
        result = self.first(images)
        return result + self.pool(result)


class Narrow(nn.Module):
    """Takes images of 16 x 16 only."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(bands, classes, 1)
        self.positions = nn.Parameter(torch.zeros(1, classes, 16, 16))

    def forward(self, images: Tensor) -> Tensor:
        result = self.first(images)
        return result + self.positions if self.training else result


def refused(network: str, folder: Path, count: int) -> ModelError:
    chosen = settings(network=Network(name=f"{__name__}:{network}"))
    batches = replace(data(), batch=lambda step: example_batch(step, count=count))
    with pytest.raises(ModelError) as caught:
        train_network(chosen, batches, folder)
    assert not caught.value.retryable
    return caught.value


def test_batch_norm_of_one_value_names_the_batch(tmp_path: Path) -> None:
    error = refused("Pooled", tmp_path, 1)
    assert "its batch norm gets one value per channel from images of 1 x " in error.message
    assert "Set sampling.batch to 2 or more" in error.remedy
    train_network(settings(network=Network(name=f"{__name__}:Pooled"), epochs=1), data(), tmp_path / "two")


def test_a_network_that_does_not_take_the_chips_is_told_with_their_shape(tmp_path: Path) -> None:
    error = refused("Narrow", tmp_path, 4)
    assert (
        f"network {__name__}:Narrow: fails on images of 4 x 3 x 32 x 32 (batch, bands, height, width): The size"
        in error.message
    )
    assert "sampling.chip" in error.remedy
