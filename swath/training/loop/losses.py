"""Losses over labelled pixels. A pixel without a label counts nowhere; a batch without any has the loss 0 and no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from swath.spec.fields.network import LossTerm


class Loss(nn.Module):
    """The weighted sum of its parts: logits (N, classes, H, W) and labels (N, H, W), uint8, to one number."""

    weights: Tensor

    def __init__(self, parts: Sequence[LossTerm], weights: Sequence[Sequence[float]]) -> None:
        """`weights` are, for each part, how much each class counts (see `class_weights`)."""
        super().__init__()
        self.parts = tuple(parts)
        self.register_buffer("weights", torch.tensor([list(each) for each in weights]), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()
        known = labels != IGNORE_INDEX
        # One-hot, as gathering by label has no deterministic gradient on GPUs.
        numbers = torch.arange(logits.shape[1], device=labels.device)[:, None, None]
        right = (labels[:, None] == numbers).to(logits.dtype)
        total = logits.sum() * 0
        for part, weights in zip(self.parts, self.weights, strict=True):
            if part.name == "dice":
                value = dice(logits, right, known)
            else:
                value = cross_entropy(logits, right, weights, part.gamma if part.name == "focal" else 0.0)
            total = total + part.weight * value
        return total


def cross_entropy(logits: Tensor, right: Tensor, weights: Tensor, gamma: float = 0.0) -> Tensor:
    """Mean over labelled pixels, each weighted by its class. With `gamma` above 0 the focal loss (Lin et al. 2017):
    a pixel counts (1 - p) ** gamma, p being the probability of its class."""
    logs = (torch.log_softmax(logits, dim=1) * right).sum(1)
    weight = (right * weights[:, None, None]).sum(1)
    terms = -logs * weight
    if gamma:
        terms = terms * (1 - logs.exp()).clamp(min=1e-6) ** gamma
    return terms.sum() / weight.sum().clamp(min=1e-6)


def dice(logits: Tensor, right: Tensor, known: Tensor) -> Tensor:
    """1 - Dice coefficient, its mean over the classes that the batch has; 0 where it has none."""
    likely = logits.softmax(1) * known[:, None]
    over = (0, 2, 3)
    shared, both = (likely * right).sum(over), likely.sum(over) + right.sum(over)
    there = (right.sum(over) > 0).to(logits.dtype)
    return ((1 - 2 * shared / both.clamp(min=1e-6)) * there).sum() / there.sum().clamp(min=1)
