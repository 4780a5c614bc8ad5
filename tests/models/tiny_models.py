"""Small models whose results are known exactly, exported to .pt2 files with their contracts beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swath.models.unet import UNet

COLORS = ("E6DFC8", "2B7BBA", "4D7C56", "C0504D", "8064A2")


class Identity(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.clone()


def tiny_contract(name: str, bands: Sequence[str], channels: int, **own: Any) -> dict[str, Any]:
    """A contract without scaling that takes the files' numbers; `own` are fields under `swath:`."""
    order = ["batch", "channel", "height", "width"]
    output: dict[str, Any] = {
        "name": "result",
        "tasks": ["semantic-segmentation"],
        "result": {"shape": [-1, channels, -1, -1], "dim_order": order, "data_type": "float32"},
    }
    if own.get("output", "classes") == "classes":
        output["classification:classes"] = [
            {"value": n, "name": f"class-{n}", "color_hint": COLORS[n]} for n in range(channels)
        ]
    return {
        "mlm:name": name,
        "mlm:architecture": "unknown",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [
            {
                "name": "image",
                "bands": list(bands),
                "input": {"shape": [-1, len(bands), -1, -1], "dim_order": order, "data_type": "float32"},
            }
        ],
        "mlm:output": [output],
        "swath:units": "dn",
    } | {f"swath:{key}": value for key, value in own.items()}


def integer_unet(bands: int = 3, classes: int = 3, depth: int = 2) -> UNet:
    """A U-Net whose weights are -1, 0 and 1 and few of them, so that whole numbers in give whole numbers out, exactly."""
    network = UNet(bands, classes, width=8, depth=depth).eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for position, layer in enumerate(module):
                if isinstance(layer, nn.BatchNorm2d):
                    module[position] = nn.Identity()
    random = np.random.default_rng(20)
    with torch.no_grad():
        for weights in network.parameters():
            flat = np.zeros(weights.numel(), np.float32)
            # About two weights per output channel: sums stay far below 2**24, where float32 is exact.
            few = random.choice(len(flat), size=max(2 * len(weights), 1) if weights.ndim > 1 else 0, replace=False)
            flat[few] = random.choice([-1, 1, 1], size=len(few))
            weights.copy_(torch.from_numpy(flat).reshape(weights.shape))
        # With this seed each of three classes gets a fair share of a picture.
        head = np.random.default_rng(46).choice([-1, 0, 1], size=network.head.weight.shape).astype(np.float32)
        network.head.weight.copy_(torch.from_numpy(head))
    return network


def export(network: nn.Module, bands: int, path: Path, multiple: int = 1) -> Path:
    """Write a .pt2 file that takes any batch, and heights and widths that are multiples of `multiple`."""
    path.write_bytes(_archive(network, bands, multiple))
    return path


def _archive(network: nn.Module, bands: int, multiple: int = 1) -> bytes:
    rows, columns = (multiple * torch.export.Dim(name, min=2) for name in ("rows", "columns"))
    example = torch.zeros(2, bands, 4 * multiple, 5 * multiple)
    shapes = ({0: torch.export.Dim("batch", min=1), 2: rows, 3: columns},)
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes)
    archive = io.BytesIO()
    torch.export.save(program, archive)
    return archive.getvalue()


def write_identity_model(
    folder: Path, bands: Sequence[str] = ("red", "green", "blue"), dtype: str = "uint8", nodata: float | str = 0
) -> Path:
    """`identity.pt2`, whose map has the bands of its input, and `identity.json`; returns the first."""
    own = {"output": "values", "dtype": dtype, "nodata": nodata}
    contract = tiny_contract("identity", bands, len(bands), **own)
    (folder / "identity.json").write_text(json.dumps(contract), encoding="utf-8")
    path = folder / "identity.pt2"
    path.write_bytes(_identity(len(bands)))
    return path


def write_integer_unet(folder: Path, bands: Sequence[str] = ("red", "green", "blue"), classes: int = 3) -> Path:
    """`integer.pt2`, a U-Net of stride 4 that computes in whole numbers, and `integer.json`; returns the first."""
    contract = tiny_contract("integer", bands, classes)
    (folder / "integer.json").write_text(json.dumps(contract), encoding="utf-8")
    path = folder / "integer.pt2"
    path.write_bytes(_integer(len(bands), classes))
    return path


@cache
def _identity(bands: int) -> bytes:
    return _archive(Identity(), bands)


@cache
def _integer(bands: int, classes: int) -> bytes:
    return _archive(integer_unet(bands, classes), bands, multiple=4)


def write_normed_unet(folder: Path, bands: Sequence[str] = ("red", "green", "blue"), classes: int = 3) -> Path:
    """`normed.pt2`, a U-Net with group norm, so that each pixel depends on its whole tile; returns its path."""
    step = {"type": "z-score", "mean": 60, "stddev": 40}
    contract = tiny_contract("normed", bands, classes)
    contract["mlm:input"][0]["value_scaling"] = [step]
    (folder / "normed.json").write_text(json.dumps(contract), encoding="utf-8")
    path = folder / "normed.pt2"
    path.write_bytes(_normed(len(bands), classes))
    return path


@cache
def _normed(bands: int, classes: int) -> bytes:
    torch.manual_seed(4)
    network = UNet(bands, classes, width=4, depth=2)
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for position, layer in enumerate(module):
                if isinstance(layer, nn.BatchNorm2d):
                    module[position] = nn.GroupNorm(2, layer.num_features)
    return _archive(network, bands, multiple=4)
