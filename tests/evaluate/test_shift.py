"""Shifted images."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_deploy.data import Dataset, load
from sbn_deploy.data.dataset import eight_bit
from sbn_deploy.evaluate.shift import SHIFTS, shifted
from sbn_runtime.errors import ConfigError


@pytest.fixture(params=["digits", "colour"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    if request.param == "digits":
        return load("digits", "test")
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 8, 3)).astype(np.uint8)
    return eight_bit("colour", images, np.zeros(20, np.int64), ["one"])


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts(dataset: Dataset, name: str) -> None:
    once, twice = shifted(dataset, name), shifted(dataset, name)
    np.testing.assert_array_equal(once.images, twice.images)
    assert once.images.dtype == np.uint8
    assert once.images.shape == dataset.images.shape
    assert once.images.max() <= dataset.preprocess.pixel_max
    assert not np.array_equal(once.images, dataset.images)
    np.testing.assert_array_equal(once.labels, dataset.labels)
    assert name in once.name
    np.testing.assert_array_equal(shifted(dataset, f"{name}:0").images, dataset.images)
    distances = [
        np.abs(shifted(dataset, f"{name}:{strength}").images - dataset.images.astype(float)).mean()
        for strength in (0, 0.05, 0.25)
    ]
    assert distances == sorted(distances)
    dataset.preprocess.check(once.images)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    digits = load("digits", "test")
    turned = shifted(digits, "rotate:0.25").images
    np.testing.assert_array_equal(turned, np.rot90(digits.images, -1, axes=(1, 2)))
    half = shifted(digits, "rotate:0.5").images
    np.testing.assert_array_equal(half, digits.images[:, ::-1, ::-1])


def test_no_contrast_is_flat(dataset: Dataset) -> None:
    flat = shifted(dataset, "contrast:1").images
    assert np.all(flat == flat[:, :1, :1, :1])


def test_blur_keeps_a_flat_image_flat() -> None:
    images = np.full((2, 5, 7, 1), 99, np.uint8)
    flat = eight_bit("flat", images, np.zeros(2, np.int64), ["one"])
    np.testing.assert_array_equal(shifted(flat, "blur:0.4").images, images)


@pytest.mark.parametrize("spec", ["warp", "", "noise:much", "noise:2", "noise:-1", "blur:nan"])
def test_unknown_shift(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown shift|must be a number from 0 to 1"):
        shifted(load("digits", "test"), spec)
