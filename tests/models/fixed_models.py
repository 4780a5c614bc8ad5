"""A small vision transformer for images of one size, in the formats that such networks are published in."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.models.tiny_models import tiny_contract

PATCH = 8


class PatchTransformer(nn.Module):
    """Attention over patches with learned positions: takes images of `size` pixels only."""

    def __init__(self, bands: int, classes: int, size: int, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(bands, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.randn(1, (size // PATCH) ** 2, width))
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.up = nn.ConvTranspose2d(width, classes, PATCH, PATCH)
        self.skip = nn.Conv2d(bands, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images)
        tokens = patches.flatten(2).transpose(1, 2) + self.positions
        query, key, value = (part[:, None] for part in self.qkv(self.norm(tokens)).chunk(3, -1))
        tokens = tokens + nn.functional.scaled_dot_product_attention(query, key, value)[:, 0]
        return self.up(tokens.transpose(1, 2).reshape(patches.shape)) + self.skip(images)


def transformer(bands: int = 3, classes: int = 3, size: int = 64) -> PatchTransformer:
    torch.manual_seed(11)
    return PatchTransformer(bands, classes, size).eval()


def write_fixed(network: nn.Module, example: Tensor, path: Path, contract: dict[str, Any]) -> Path:
    """Export a network for images of the example's shape alone, in the format of the suffix, with its contract beside it."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        match path.suffix:
            case ".pt2":
                torch.export.save(torch.export.export(network.eval(), (example,)), path)
            case ".onnx":
                torch.onnx.export(
                    network.eval(), (example,), str(path), dynamo=True, external_data=False, verbose=False
                )
            case ".torchscript":
                torch.jit.save(torch.jit.trace(network.eval(), example), str(path))
    path.with_suffix(".json").write_text(json.dumps(contract), encoding="utf-8")
    return path


def write_transformer(folder: Path, suffix: str, size: int = 64) -> Path:
    """`fixed` with that suffix, which takes red, green and blue in images of `size` pixels; returns its path."""
    contract = tiny_contract("fixed", ("red", "green", "blue"), 3)
    contract["mlm:input"][0]["value_scaling"] = [{"type": "z-score", "mean": 100, "stddev": 50}]
    return write_fixed(transformer(size=size), torch.zeros(1, 3, size, size), folder / f"fixed{suffix}", contract)
