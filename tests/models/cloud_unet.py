"""The network of the shared cloud models, for their safetensors form: a U-Net of separable convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pw = nn.Conv2d(inputs, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.pw(self.dw(x))))


class _Pair(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a = _Separable(inputs, outputs)
        self.b = _Separable(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(self.a(x))
        return y


class CloudUNet(nn.Module):
    def __init__(self, bands: int) -> None:
        super().__init__()
        self.norm = nn.Conv2d(bands, bands, 1)
        self.e1, self.e2, self.e3 = _Pair(bands, 32), _Pair(32, 64), _Pair(64, 128)
        self.u1, self.u2 = nn.ConvTranspose2d(128, 64, 2, stride=2), nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.d1, self.d2 = _Pair(128, 64), _Pair(64, 32)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(32, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.e1(self.norm(x))
        b = self.e2(self.pool(a))
        c = self.e3(self.pool(b))
        y = self.d1(torch.cat([self.u1(c), b], 1))
        return torch.sigmoid(self.head(self.d2(torch.cat([self.u2(y), a], 1))))


def rgbi() -> CloudUNet:
    return CloudUNet(4)


def rgbiswir() -> CloudUNet:
    return CloudUNet(6)
