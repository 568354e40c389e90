"""Random shifts, flips and crops."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy import data
from sbn_deploy.data.dataset import of_pixels
from sbn_deploy.train.augment import (
    LONGEST_RATIO,
    Augmentation,
    random_box,
    random_flip,
    random_shift,
)
from sbn_deploy.train.images import TrainingImages

CPU = torch.device("cpu")
SIDES = st.tuples(st.integers(1, 400), st.integers(1, 400))
WANTED = st.tuples(st.integers(8, 24), st.integers(8, 24))


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


@given(SIDES, WANTED, st.floats(0.01, 1), st.integers(0, 2**63))
def test_random_boxes_are_parts_of_the_picture(
    sides: tuple[int, int], wanted: tuple[int, int], least: float, seed: int
) -> None:
    top, left, rows, columns = random_box(np.random.default_rng(seed), sides, wanted, least)
    assert 0 <= top < top + rows <= sides[0]
    assert 0 <= left < left + columns <= sides[1]
    # Sides are rounded to whole pixels.
    proportions = wanted[1] / wanted[0]
    assert (columns + 0.5) / (rows - 0.5) >= proportions / LONGEST_RATIO - 1e-9
    assert (columns - 0.5) / (rows + 0.5) <= proportions * LONGEST_RATIO + 1e-9
    own = sides[1] / sides[0]
    if proportions / LONGEST_RATIO <= own <= proportions * LONGEST_RATIO:
        assert (rows + 0.5) * (columns + 0.5) >= least * sides[0] * sides[1] - 1e-6


def test_random_boxes_have_every_size_and_place() -> None:
    random = np.random.default_rng(0)
    boxes = np.array([random_box(random, (100, 100), (8, 8), 0.25) for _ in range(2000)])
    tops, lefts, rows, columns = boxes.T
    shares = rows * columns / 100**2
    assert shares.min() < 0.27
    assert shares.max() > 0.97
    assert (tops == 0).any()
    assert (tops + rows == 100).any()
    assert (lefts == 0).any()
    assert (lefts + columns == 100).any()
    ratios = columns / rows
    assert ratios.min() < 0.78
    assert ratios.max() > 1.28


@given(st.integers(0, 2**31), st.integers(0, 1000), st.integers(0, 2**31))
def test_crops_follow_from_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    image[:, :32] //= 2
    changes, wanted = Augmentation(seed, crop=0.1, shift=0, flip=True), of_pixels(1, 16, 16)
    found = changes.apply(image, wanted, epoch, index)
    assert found.shape == (16, 16, 1)
    assert np.array_equal(changes.apply(image, wanted, epoch, index), found)
    others = [changes.apply(image, wanted, epoch, index + step) for step in range(1, 9)]
    others += [changes.apply(image, wanted, epoch + step, index) for step in range(1, 9)]
    assert any(not np.array_equal(other, found) for other in others[:8])
    assert any(not np.array_equal(other, found) for other in others[8:])
