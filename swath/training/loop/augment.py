"""Augmentation of a batch: a pure function of the batch, the seed and the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from swath.spec.fields.network import Augmentation


def augment_batch(
    images: Tensor, labels: Tensor, settings: Augmentation, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Scaled images (N, bands, H, W) and labels (N, H, W), each image augmented on its own. Where H and W differ, images are
    rotated by 180 degrees only. Neither argument is changed."""
    random = np.random.default_rng((seed, step, 1))
    count, bands, height, width = images.shape
    pairs = []
    for image, label in zip(images, labels, strict=True):
        turns = int(random.integers(4)) if settings.turns else 0
        if height != width:
            turns -= turns % 2
        flip = settings.flips and bool(random.integers(2))
        image, label = torch.rot90(image, turns, (1, 2)), torch.rot90(label, turns, (0, 1))
        pairs.append((image.flip(2), label.flip(1)) if flip else (image, label))
    gain = 1 + settings.gain * random.standard_normal((count, 1, 1, 1))
    offset = settings.brightness * random.standard_normal((count, 1, 1, 1))
    bands_on = random.random((count, bands)) >= settings.band_dropout
    bands_on[np.arange(count), random.integers(bands, size=count)] |= ~bands_on.any(axis=1)
    bands_on = bands_on[:, :, None, None]

    def on_device(numbers: NDArray[Any]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.float32)).to(images.device)

    augmented = torch.stack([image for image, _ in pairs]) * on_device(gain * bands_on) + on_device(offset * bands_on)
    return augmented, torch.stack([label for _, label in pairs])
