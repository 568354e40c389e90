"""Random shifts and flips."""

from __future__ import annotations

import numpy as np
import torch

from sbn_deploy import data
from sbn_deploy.train.augment import random_flip, random_shift
from sbn_deploy.train.images import TrainingImages

CPU = torch.device("cpu")


def test_random_shift_moves_images_over_black() -> None:
    torch.manual_seed(0)
    images = torch.zeros(200, 2, 5, 6, dtype=torch.uint8)
    images[:, 0, 2, 3] = 1
    images[:, 1, 2, 3] = 2
    shifted = random_shift(images, 1)
    assert shifted.shape == images.shape
    assert shifted.dtype == torch.uint8
    found = (shifted[:, 0] == 1).nonzero()
    assert torch.equal(found[:, 0], torch.arange(200))
    offsets = {tuple(row) for row in (found[:, 1:] - torch.tensor([2, 3])).tolist()}
    assert offsets == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert torch.equal(shifted[:, 0] * 2, shifted[:, 1])
    assert int(shifted.sum()) == 200 * 3
    assert random_shift(images, 0) is images


def test_random_flip_mirrors_whole_images() -> None:
    torch.manual_seed(0)
    images = torch.arange(6).expand(100, 2, 3, 6)
    flipped = random_flip(images)
    mirrored = (flipped[:, 0, 0, 0] == 5).nonzero().flatten()
    assert 25 < len(mirrored) < 75
    assert torch.equal(flipped[mirrored], images[mirrored].flip(3))
    kept = (flipped[:, 0, 0, 0] == 0).nonzero().flatten()
    assert torch.equal(flipped[kept], images[kept])


def test_batches_are_normalised_as_at_inference() -> None:
    digits = data.load("digits", "test")
    images = TrainingImages(digits, CPU, shift=0, flip=False)
    x, labels = images.batch(torch.tensor([3, 5]))
    assert np.array_equal(x.numpy(), digits.inputs()[[3, 5]])
    assert np.array_equal(labels.numpy(), digits.labels[[3, 5]])
