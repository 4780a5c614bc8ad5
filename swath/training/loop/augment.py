"""Augmentation: a batch seen another way. A pure function of the batch, the seed and the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from swath.spec.fields.network import Augmentation


def augment_batch(images: Tensor, labels: Tensor, how: Augmentation, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Scaled images (N, bands, H, W) and labels (N, H, W), each image varied on its own. Where H and W differ, images are only
    turned by 180 degrees. Neither argument is changed."""
    random = np.random.default_rng((seed, step, 1))
    count, bands, height, width = images.shape
    pairs = []
    for image, label in zip(images, labels, strict=True):
        turns = int(random.integers(4)) if how.turns else 0
        if height != width:
            turns -= turns % 2
        flip = how.flips and bool(random.integers(2))
        image, label = torch.rot90(image, turns, (1, 2)), torch.rot90(label, turns, (0, 1))
        pairs.append((image.flip(2), label.flip(1)) if flip else (image, label))
    gain = 1 + how.gain * random.standard_normal((count, 1, 1, 1))
    added = how.brightness * random.standard_normal((count, 1, 1, 1))
    kept = random.random((count, bands)) >= how.band_dropout
    kept[np.arange(count), random.integers(bands, size=count)] |= ~kept.any(axis=1)
    kept = kept[:, :, None, None]

    def there(numbers: NDArray[Any]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.float32)).to(images.device)

    varied = torch.stack([image for image, _ in pairs]) * there(gain * kept) + there(added * kept)
    return varied, torch.stack([label for _, label in pairs])
