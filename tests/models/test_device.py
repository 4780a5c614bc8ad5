"""Devices: which one a spec's value means, and how much of the time it computes."""

from __future__ import annotations

import sys

import pytest
import torch

from swath.errors import ModelError
from swath.models.device import DeviceUsage, resolve_device
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet


def test_nothing_is_busy_before_the_first_call() -> None:
    assert DeviceUsage("cpu").share == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_an_error() -> None:
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cuda") == "cuda"  # the workers may have one
    with pytest.raises(ModelError, match="no GPU"):
        TorchPredictor(UNet(3, 2), "unet", device="cuda")


def test_where_there_is_no_driver_torch_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert resolve_device("auto", driver=False) == "cpu"


class Event:
    """Of a GPU, such as torch.cuda.Event."""

    waited = 0

    def synchronize(self) -> None:
        Event.waited += 1

    def elapsed_time(self, other: Event) -> float:
        return 250.0


def test_the_times_of_a_gpu_are_milliseconds_and_are_counted_once() -> None:
    usage = DeviceUsage("cuda")
    usage._pending += [(Event(), Event()), (Event(), Event())]
    assert usage.seconds == 0.5
    assert usage.seconds == 0.5
    assert Event.waited == 2
