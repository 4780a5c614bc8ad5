"""Losses, against their definitions, and where nothing is labelled."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.network import LossTerm
from swath.training.loop.losses import SegmentationLoss

EACH = [LossTerm(name="cross_entropy"), LossTerm(name="focal"), LossTerm(name="dice")]


def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 8, 8, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator).to(torch.uint8)
    labels[0, :3] = IGNORE_INDEX
    return logits, labels


def test_cross_entropy_is_torchs_own_with_class_weights_and_ignored_pixels() -> None:
    logits, labels = example()
    weights = (0.2, 1.0, 3.0)
    ours = SegmentationLoss([LossTerm(name="cross_entropy", class_weights=weights)], [weights])(logits, labels)
    torchs = torch.nn.functional.cross_entropy(logits, labels.long(), torch.tensor(weights), ignore_index=IGNORE_INDEX)
    assert ours.item() == pytest.approx(torchs.item(), rel=1e-6)


def test_focal_without_gamma_is_cross_entropy_and_with_it_counts_less_what_is_right() -> None:
    logits, labels = example()
    ones = [(1.0, 1.0, 1.0)]
    plain = SegmentationLoss(EACH[:1], ones)(logits, labels).item()
    assert SegmentationLoss([LossTerm(name="focal", gamma=0)], ones)(logits, labels).item() == pytest.approx(plain)
    assert SegmentationLoss([LossTerm(name="focal", gamma=2)], ones)(logits, labels).item() < plain


def test_dice_is_0_where_all_is_right_and_1_where_nothing_is() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[0, 2:] = 1
    right = torch.nn.functional.one_hot(labels.long(), 2).permute(0, 3, 1, 2) * 100.0
    dice = SegmentationLoss(EACH[2:], [(1.0, 1.0)])
    assert dice(right, labels).item() == pytest.approx(0, abs=1e-6)
    assert dice(-right, labels).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("part", EACH, ids=lambda part: part.name)
def test_what_is_ignored_changes_neither_loss_nor_gradient(part: LossTerm) -> None:
    logits, labels = example()
    loss = SegmentationLoss([part], [(1.0, 2.0, 3.0)])
    before = loss(logits, labels)
    (gradient,) = torch.autograd.grad(before, logits)
    assert float(gradient[0, :, :3].abs().max()) == 0
    changed = logits.detach().clone()
    changed[0, :, :3] = 9
    assert loss(changed, labels).item() == pytest.approx(before.item(), rel=1e-6)


@pytest.mark.parametrize("part", EACH, ids=lambda part: part.name)
def test_a_batch_without_labels_has_the_loss_0_and_no_gradient(part: LossTerm) -> None:
    logits, labels = example()
    value = SegmentationLoss([part], [(1.0, 1.0, 1.0)])(logits, torch.full_like(labels, IGNORE_INDEX))
    (gradient,) = torch.autograd.grad(value, logits)
    assert (value.item(), float(gradient.abs().max())) == (0, 0)


def test_a_sum_is_the_weighted_sum_of_its_parts() -> None:
    logits, labels = example()
    ones = (1.0, 1.0, 1.0)
    alone = [SegmentationLoss([part], [ones])(logits, labels).item() for part in EACH]
    parts = [part.model_copy(update={"weight": weight}) for part, weight in zip(EACH, (1.0, 0.5, 2.0), strict=True)]
    both = SegmentationLoss(parts, [ones] * 3)(logits, labels).item()
    assert both == pytest.approx(alone[0] + 0.5 * alone[1] + 2 * alone[2], rel=1e-5)
