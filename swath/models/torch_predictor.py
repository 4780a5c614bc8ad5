"""TorchPredictor: runs a network of any torch format on the CPU or a GPU, in float32 or with autocast.

Torch models take pixels in channels-last order: measured twice as fast as the other order for a small U-Net. Results
differ between the two in the last digits, so this order is part of the promise that the same pixels give the same map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import Precision
from swath.models.declaration import choose_output
from swath.models.device import Device, DeviceUsage
from swath.models.exported_program import Program
from swath.models.global_layers import TorchNetwork, find_global_layers
from swath.models.network_axes import PLAIN, NetworkAxes
from swath.models.predictor import Predictor, cause, check_shape, converted, refused

if TYPE_CHECKING:
    import torch


class TorchPredictor:
    """A network that torch runs: from torch.export, TorchScript, or a module with weights from safetensors."""

    def __init__(
        self,
        module: TorchNetwork,
        path: str,
        precision: Precision = "float32",
        device: Device = "cpu",
        output: str = "",
        axes: NetworkAxes = PLAIN,
    ) -> None:
        """`module` is in eval mode. With another precision than float32, torch chooses which operators compute in it
        (autocast); images and results are float32 all the same. `output` is the key of what is used where the network gives a
        dictionary. Raises ModelError for "cuda" where there is no GPU."""
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
        self.path = path
        self._precision = precision
        self._device = device
        self._output = output
        self._axes = axes
        self._dtype = _input_type(module, axes.takes)
        self.usage = DeviceUsage(device)
        """How long the device computed."""

    @property
    def input_dtype(self) -> str:
        """Type of the numbers that the network takes."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def global_layers(self) -> tuple[str, ...]:
        """Layers of the network that depend on the whole image."""
        return find_global_layers(self._module)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        given = self._axes.given(images)
        narrow = self._dtype == torch.float16 or not self._dtype.is_floating_point
        given = converted(given, self.input_dtype, self.path) if narrow else given.astype(np.float32, copy=False)
        # Pixels whose bands lie side by side: of a network that takes the bands last, the order of its axes.
        order = torch.contiguous_format if self._axes.bands_last else torch.channels_last
        tensor = torch.from_numpy(given.astype(given.dtype, copy=min(given.strides) < 0)).to(self._dtype)
        reduced = torch.autocast(self._device, getattr(torch, self._precision), enabled=self._precision != "float32")
        try:
            with torch.inference_mode(), reduced:
                tensor = self._on_device(tensor.contiguous(memory_format=order))
                end = self.usage.begin()
                output = self._chosen(self._module(tensor))
                end()
                result = output.to(torch.float32).cpu().numpy()
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(f"{self.path}: {cause(error)}") from error
            raise refused(self.path, images, error) from error
        return check_shape(self.path, images, self._axes.arranged(result, self.path))

    def _chosen(self, given: Any) -> torch.Tensor:
        """The one tensor of what the network gave. Raises ModelError."""
        import torch

        if isinstance(given, torch.Tensor):
            return given
        items = (
            given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list | tuple) else ()
        )
        tensors = {str(name): each for name, each in items if isinstance(each, torch.Tensor)}
        if not tensors:
            raise ModelError(
                f"{self.path}: the model gives {type(given).__name__}, not a tensor",
                remedy="export a network that gives one tensor (N, channels, height, width)",
            )
        return tensors[choose_output(self.path, tuple(tensors), self._output)]

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """By way of pinned memory, from which the GPU copies without the CPU."""
        return tensor if self._device == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


def _input_type(module: TorchNetwork, takes: str) -> torch.dtype:
    """The type of numbers that a network takes: what a program declares, the whole numbers of its contract, or the type of all its
    weights."""
    import torch

    if isinstance(module, Program):
        found: torch.dtype = getattr(torch, module.dtype)
        return found
    if takes:
        whole: torch.dtype = getattr(torch, takes)
        return whole
    types = {each.dtype for each in module.parameters() if each.is_floating_point()}
    return types.pop() if len(types) == 1 else torch.float32


def _conforms(predictor: TorchPredictor) -> Predictor:
    return predictor
