"""Augmentation: labels stay on their pixels, and nothing depends on anything but seed and step."""

from __future__ import annotations

import torch

from swath.spec.fields.network import Augmentation
from swath.training.loop.augment import augment_batch

STILL = Augmentation(gain=0, brightness=0)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose first band is their label."""
    labels = torch.arange(4 * 36).reshape(4, 6, 6).to(torch.uint8)
    return torch.stack([labels.float(), labels.float() * 2, labels.float() * 3], dim=1), labels


def test_labels_stay_on_their_pixels_through_flips_and_turns() -> None:
    turned = 0
    for step in range(10):
        images, labels = augment_batch(*batch(), STILL, 1, step)
        assert torch.equal(images[:, 0], labels.float())
        assert torch.equal(labels.flatten(1).sort()[0], batch()[1].flatten(1))
        turned += not torch.equal(labels, batch()[1])
    assert turned == 10


def test_all_eight_positions_of_a_square_occur() -> None:
    seen = {augment_batch(*batch(), STILL, 1, step)[1][0].numpy().tobytes() for step in range(80)}
    assert len(seen) == 8


def test_seed_and_step_decide_alone() -> None:
    how = Augmentation(band_dropout=0.3)
    torch.rand(5)
    first = augment_batch(*batch(), how, 7, 3)[0]
    torch.rand(5)
    assert torch.equal(first, augment_batch(*batch(), how, 7, 3)[0])
    assert not torch.equal(first, augment_batch(*batch(), how, 7, 4)[0])
    assert not torch.equal(first, augment_batch(*batch(), how, 8, 3)[0])


def test_bands_are_blanked_as_often_as_asked_for_and_never_all_of_an_image() -> None:
    how = Augmentation(flips=False, turns=False, gain=0, brightness=0, band_dropout=0.6)
    images = torch.cat([augment_batch(batch()[0] + 1, batch()[1], how, 1, step)[0] for step in range(200)])
    blank = (images == 0).flatten(2).all(dim=2)
    assert not blank.all(dim=1).any()
    assert 0.5 < float(blank.float().mean()) < 0.62


def test_images_that_are_no_squares_keep_their_shape() -> None:
    images, labels = augment_batch(
        torch.rand(3, 2, 4, 8), torch.zeros(3, 4, 8, dtype=torch.uint8), Augmentation(), 1, 1
    )
    assert (images.shape, labels.shape) == ((3, 2, 4, 8), (3, 4, 8))
