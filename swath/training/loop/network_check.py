"""Checks of a network before it is trained: what would give a useless model, or an error after hours, is refused at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.predictor import cause

SIZE = 128
"""Edge of the images that a network is tried on; a multiple of every stride."""
LARGE = 1000.0
"""Factor of a second image: bounded outputs stay between 0 and 1, logits do not."""
FORWARD_ERRORS = (
    RuntimeError, ValueError, TypeError, AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, ZeroDivisionError,
)  # fmt: skip
"""What a forward that does not fit its input raises, beside ModelError."""
_LOGITS = "its forward has to give one tensor of logits (N, classes, H, W)"


def run_network(module: nn.Module, name: str, images: Tensor) -> Tensor:
    """The output of a network. Raises ModelError where that is no tensor of four axes, and what the network raises."""
    output = module(images)
    if isinstance(output, Tensor) and output.dim() == 4:
        return output
    if isinstance(output, Tensor):
        what = f"gives a tensor of shape {tuple(output.shape)} for images of {tuple(images.shape)}"
        raise ModelError(f"network {name}: {what}", remedy=f"{_LOGITS}.")
    keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise ModelError(
        f"network {name}: gives {type(output).__name__}{keys}, not a tensor",
        remedy=f"{_LOGITS}, such as return self.network(images)['out'].",
    )


def check_network(module: nn.Module, name: str, bands: int, classes: int) -> None:
    """Raise ModelError for a network whose training would give no model: without parameters to train, with other channels than
    classes, with probabilities in place of logits, with outputs that are no numbers."""
    if not any(each.requires_grad for each in module.parameters()):
        raise ModelError(f"network {name}: has no parameters that are trained", remedy="Set requires_grad of some.")
    training = module.training
    module.eval()
    try:
        images = torch.randn(2, bands, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        with torch.enable_grad():
            output = run_network(module, name, images)
        _check_output(output, name, classes)
        with torch.no_grad():
            large = run_network(module, name, LARGE * images)
        _check_logits(output.detach().float(), large.float(), name)
    except FORWARD_ERRORS as error:
        raise ModelError(f"network {name}: fails on images of 2 x {bands} x {SIZE} x {SIZE}: {cause(error)}") from error
    finally:
        module.train(training)


def _check_output(output: Tensor, name: str, classes: int) -> None:
    if output.shape[1] != classes:
        hint = " Two classes need two channels." if output.shape[1] == 1 and classes == 2 else ""
        raise ModelError(
            f"network {name}: gives {output.shape[1]} channels, there are {classes} classes",
            remedy=f"{_LOGITS}; the factory gets their number as classes.{hint}",
        )
    if not output.is_floating_point():
        raise ModelError(f"network {name}: gives {output.dtype}, not floating point", remedy=f"{_LOGITS}.")
    if not output.requires_grad:
        raise ModelError(
            f"network {name}: its output has no gradient", remedy="Take torch.no_grad and detach out of its forward."
        )
    if not output.isfinite().all():
        raise ModelError(
            f"network {name}: gives values that are not finite, before any training",
            remedy="Check its initial weights (network.weights).",
        )


def _check_logits(output: Tensor, large: Tensor, name: str) -> None:
    """`large` is the output for the image multiplied by LARGE."""
    classes = output.shape[1]
    bounded = all(float(each.min()) >= 0 and float(each.max()) <= 1 for each in (output, large))
    if classes == 1 or not bounded or float(output.max() - output.min()) == 0:
        return
    softmax = all(torch.allclose(each.sum(1), torch.ones(()), atol=1e-3) for each in (output, large))
    raise ModelError(
        f"network {name}: gives probabilities{' that add up to 1' if softmax else ''}, not logits",
        remedy=f"Leave out the last {'softmax' if softmax else 'sigmoid'}: the loss has one.",
    )


def check_lazy(module: nn.Module, name: str) -> None:
    """Raise ModelError for layers whose sizes are not known before the first image."""
    if any(nn.parameter.is_lazy(each) for each in (*module.parameters(), *module.buffers())):
        raise ModelError(
            f"network {name}: has layers whose sizes are not known (Lazy...)",
            remedy="Give them their sizes; the factory gets bands and classes.",
        )


def evaluated(module: nn.Module) -> nn.Module:
    """A copy on the CPU in evaluation mode, for a first export."""
    return copy.deepcopy(module).cpu().eval()
