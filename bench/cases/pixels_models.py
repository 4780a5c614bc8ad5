"""The models of the pixel benchmark: micro (bound by reading and writing), tiny (between), unet (bound by arithmetic).

Their weights are random, but the same everywhere; the last layer is set so that all classes are found in the textured images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from pixels_data import BANDS
from rasterio.windows import Window
from torch import Tensor, nn

CLASSES = 5
SCALE = np.float32(1 / 10_000)
"""Factor on the files' values before they enter a model."""
HALO = {"micro": 2, "tiny": 2, "constant": 0, "unet": 48}
"""Pixels around a tile without which a model's result would not be exact; what peers read."""
SEEN = 1024
"""Edge of the square of the image, in pixels, that the last layer is set by."""


def micro() -> nn.Module:
    """900 parameters."""
    return _plain(8, 8)


def tiny() -> nn.Module:
    """20 thousand parameters."""
    return _plain(32, 64)


def unet() -> nn.Module:
    """A million parameters, three steps down: stride 8."""
    torch.manual_seed(0)
    network = UNet(24)
    random = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.copy_(0.05 * torch.randn(layer.num_features, generator=random))
            layer.running_var.copy_(0.5 + 0.5 * torch.rand(layer.num_features, generator=random))
    return network.eval()


def constant() -> nn.Module:
    """The same output for every pixel, at nearly no cost."""
    network = nn.Conv2d(len(BANDS), 2, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)  # type: ignore[arg-type]
    return network.eval()


MODELS = {"micro": micro, "tiny": tiny, "unet": unet, "constant": constant}


class UNet(nn.Module):
    """A U-Net: two convolutions per level, transposed convolutions for upsampling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                _pair(len(BANDS), width),
                _pair(width, 2 * width),
                _pair(2 * width, 4 * width),
                _pair(4 * width, 8 * width),
            ]
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in (4 * width, 2 * width, width))
        self.join = nn.ModuleList(_pair(2 * n, n) for n in (4 * width, 2 * width, width))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        levels = [self.down[0](images)]
        for step in (1, 2, 3):
            levels.append(self.down[step](self.pool(levels[-1])))
        up = levels.pop()
        for step in range(3):
            up = self.join[step](torch.cat([self.up[step](up), levels.pop()], 1))
        scores: Tensor = self.head(up)
        return scores


def _plain(first: int, second: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(len(BANDS), first, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(second, CLASSES, 1),
    ).eval()  # fmt: skip


def _pair(taken: int, given: int) -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (taken, given):
        layers += [nn.Conv2d(channels, given, 3, padding=1, bias=False), nn.BatchNorm2d(given), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def write(name: str, folder: Path, image: Path) -> Path:
    """`NAME.safetensors`, the weights of a model with its last layer set by `image`, and its contract; returns the first."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    network = MODELS[name]()
    if name != "constant":
        _spread(network, image)
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(contract(name), indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str, folder: Path) -> nn.Module:
    """The model that `write` wrote."""
    from safetensors.torch import load_file

    network = MODELS[name]()
    network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return network.eval()


def _spread(network: nn.Module, image: Path) -> None:
    """Scale the last layer so that all classes have the same mean and spread on the image, and each is the largest somewhere."""
    with rasterio.open(image) as file:
        middle = max(0, file.height // 2 - SEEN // 2)
        pixels = file.read(window=Window(middle, middle, min(SEEN, file.width), min(SEEN, file.height)))
    head = network.head if isinstance(network, UNet) else list(network.children())[-1]
    if not isinstance(head, nn.Conv2d) or head.bias is None:
        raise TypeError(f"the last layer is {type(head).__name__}, not a convolution with bias")
    with torch.no_grad():
        scores = network(torch.from_numpy(pixels.astype(np.float32) * SCALE)[None])[0].flatten(1)
        mean, spread = scores.mean(1), scores.std(1)
        head.weight.div_(spread[:, None, None, None])
        head.bias.sub_(mean).div_(spread)


def contract(name: str) -> dict[str, Any]:
    """The contract of a model, as swath reads it."""
    classes = 2 if name == "constant" else CLASSES
    colors = ("E6DFC8", "2B7BBA", "4D7C56", "C0504D", "8064A2")
    order = ["batch", "channel", "height", "width"]
    return {
        "mlm:name": name,
        "mlm:architecture": "unknown",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [
            {
                "name": "image",
                "bands": list(BANDS),
                "input": {"shape": [-1, len(BANDS), -1, -1], "dim_order": order, "data_type": "float32"},
                "value_scaling": [{"type": "scale", "value": 10_000}],
            }
        ],
        "mlm:output": [
            {
                "name": "scores",
                "tasks": ["semantic-segmentation"],
                "result": {"shape": [-1, classes, -1, -1], "dim_order": order, "data_type": "float32"},
                "classification:classes": [
                    {"value": n, "name": f"class-{n}", "color_hint": colors[n]} for n in range(classes)
                ],
            }
        ],
        "swath:units": "dn",
    }
