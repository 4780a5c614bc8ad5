"""TorchPredictor: runs a network of any torch format on the CPU or a GPU, in float32 or with autocast.

Torch models take pixels in channels-last order: measured twice as fast as the other order for a small U-Net. Results
differ between the two in the last digits, so this order is part of the promise that the same pixels give the same map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import Precision
from swath.models.device import Device, DeviceUsage
from swath.models.global_layers import TorchNetwork, find_global_layers
from swath.models.predictor import Predictor, check_shape, first_line, refused

if TYPE_CHECKING:
    import torch


class TorchPredictor:
    """A network that torch runs: from torch.export, TorchScript, or a module with weights from safetensors."""

    def __init__(
        self, module: TorchNetwork, path: str, precision: Precision = "float32", device: Device = "cpu"
    ) -> None:
        """`module` is in eval mode. With another precision than float32, torch chooses which operators compute in it
        (autocast); images and results are float32 all the same. Raises ModelError for "cuda" where there is no GPU."""
        import torch

        torch.set_num_threads(1)
        if device == "cuda":
            if not torch.cuda.is_available():
                raise ModelError(
                    f"{path}: this process has no GPU that CUDA can use", remedy="set model.device to cpu, or to auto"
                )
            torch.backends.cudnn.allow_tf32 = False  # float32 is to be float32
            module = module.to(device)
        self._module = module
        self._path = path
        self._precision = precision
        self._device = device
        self.usage = DeviceUsage(device)
        """How long the device computed."""

    @property
    def global_layers(self) -> tuple[str, ...]:
        """Layers of the network that depend on the whole image."""
        return find_global_layers(self._module)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        tensor = torch.from_numpy(images.astype(np.float32, copy=min(images.strides) < 0))
        reduced = torch.autocast(self._device, getattr(torch, self._precision), enabled=self._precision != "float32")
        try:
            with torch.inference_mode(), reduced:
                tensor = self._on_device(tensor.contiguous(memory_format=torch.channels_last))
                end = self.usage.begin()
                output = self._module(tensor)
                end()
                if not isinstance(output, torch.Tensor):
                    raise ModelError(f"{self._path}: the model gives {type(output).__name__}, not one tensor")
                result = output.to(torch.float32).cpu().numpy()
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(f"{self._path}: {first_line(error)}") from error
            raise refused(self._path, images, error) from error
        return check_shape(self._path, images, result)

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """By way of pinned memory, from which the GPU copies without the CPU."""
        return tensor if self._device == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


def _conforms(predictor: TorchPredictor) -> Predictor:
    return predictor
