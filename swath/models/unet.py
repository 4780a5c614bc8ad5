"""A small U-Net for segmentation: the network of the demo model, and a factory for weights in .safetensors files."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _convolve(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch norm and ReLU; height and width stay as they are."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """Images (N, bands, H, W) to logits (N, classes, H, W), float32; H and W are multiples of 2 ** depth.

    Every operation works at any size and depends only on a pixel's neighbourhood: no norm, pooling or attention over the
    whole image. So the receptive field is bounded and a tiled map equals a whole-image pass.
    """

    def __init__(self, bands: int = 4, classes: int = 2, width: int = 8, depth: int = 3) -> None:
        """`width` is the number of channels at full resolution; it doubles at each of the `depth` halvings."""
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList([_convolve(i, o) for i, o in zip([bands, *widths], widths, strict=False)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])])
        self.merge = nn.ModuleList([_convolve(2 * w, w) for w in reversed(widths[:-1])])
        self.halve = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.down[0](images)
        skipped: list[Tensor] = []
        for convolve in self.down[1:]:
            skipped.append(features)
            features = convolve(self.halve(features))
        for double, convolve in zip(self.up, self.merge, strict=True):
            features = convolve(torch.cat([double(features), skipped.pop()], dim=1))
        logits: Tensor = self.head(features)
        return logits
