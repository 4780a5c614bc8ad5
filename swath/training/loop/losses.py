"""Losses over labelled pixels. Pixels without a label do not count; a batch without any has the loss 0 and no gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from swath.spec.fields.network import LossTerm


class SegmentationLoss(nn.Module):
    """The weighted sum of its terms: logits (N, classes, H, W) and labels (N, H, W), uint8, to one number."""

    class_weights: Tensor

    def __init__(self, terms: Sequence[LossTerm], class_weights: Sequence[Sequence[float]]) -> None:
        """`class_weights` are, for each term, the weights of the classes (see settings.class_weights)."""
        super().__init__()
        self.terms = tuple(terms)
        self.register_buffer("class_weights", torch.tensor([list(each) for each in class_weights]), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()
        labelled = labels != IGNORE_INDEX
        # One-hot, as gathering by label has no deterministic gradient on GPUs.
        numbers = torch.arange(logits.shape[1], device=labels.device)[:, None, None]
        one_hot = (labels[:, None] == numbers).to(logits.dtype)
        total = logits.sum() * 0
        for term, weights in zip(self.terms, self.class_weights, strict=True):
            if term.name == "dice":
                value = dice(logits, one_hot, labelled)
            else:
                value = cross_entropy(logits, one_hot, weights, term.gamma if term.name == "focal" else 0.0)
            total = total + term.weight * value
        return total


def cross_entropy(logits: Tensor, one_hot: Tensor, weights: Tensor, gamma: float = 0.0) -> Tensor:
    """Mean over labelled pixels, each weighted by its class. With `gamma` above 0 the focal loss (Lin et al. 2017):
    a pixel counts (1 - p) ** gamma, p being the probability of its class."""
    logs = (torch.log_softmax(logits, dim=1) * one_hot).sum(1)
    weight = (one_hot * weights[:, None, None]).sum(1)
    terms = -logs * weight
    if gamma:
        terms = terms * (1 - logs.exp()).clamp(min=1e-6) ** gamma
    return terms.sum() / weight.sum().clamp(min=1e-6)


def dice(logits: Tensor, one_hot: Tensor, labelled: Tensor) -> Tensor:
    """1 - Dice coefficient, its mean over the classes that the batch has; 0 where it has none."""
    probability = logits.softmax(1) * labelled[:, None]
    pixels = (0, 2, 3)
    intersection, total = (probability * one_hot).sum(pixels), probability.sum(pixels) + one_hot.sum(pixels)
    present = (one_hot.sum(pixels) > 0).to(logits.dtype)
    return ((1 - 2 * intersection / total.clamp(min=1e-6)) * present).sum() / present.sum().clamp(min=1)
