"""Pictures become a network's input in JavaScript as in Python, bit for bit."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from sbn_runtime import Preprocess
from sbn_runtime.raster import Raster

from .node import Job, call, needs_node, picture

pytestmark = [needs_node]
SIZES = [(1, 1), (5, 9), (31, 17), (64, 64), (200, 3), (120, 173)]
WANTED = [(8, 8), (28, 28), (32, 20), (7, 70)]


def test_any_picture_becomes_the_same_input() -> None:
    rng = np.random.default_rng(0)
    cases: list[tuple[Preprocess, Any]] = []
    for (size, wanted), kinds in zip(product(SIZES, WANTED), _kinds(rng), strict=False):
        channels, given, fit, order = kinds
        mean = tuple(float(value) for value in rng.random(channels))
        std = tuple(float(value) for value in 0.1 + rng.random(channels))
        most = int(rng.choice([255, 16, 1, 200]))
        described = Preprocess(channels, *wanted, most, mean, std, order, fit)
        shape = size if given == 1 else (*size, given)
        cases.append((described, rng.integers(0, 256, shape, np.uint8)))
    calls = [("fitted", [picture(pixels), p.to_json()]) for p, pixels in cases]
    (answered,) = call(Job(module="picture.js", calls=calls))
    calls = []
    for (described, pixels), found in zip(cases, answered, strict=True):
        assert not isinstance(found, Exception), found
        image = described.fitted(Raster.of_array(pixels))
        np.testing.assert_array_equal(found.reshape(image.shape), image, err_msg=str(described))
        calls += [
            ("normalised", [image, described.to_json()]),
            ("ordered", [image, described.to_json()]),
        ]
    (answered,) = call(Job(module="picture.js", calls=calls))
    for index, (described, pixels) in enumerate(cases):
        image = described.fitted(Raster.of_array(pixels))[np.newaxis]
        normal, bytes_ = answered[2 * index : 2 * index + 2]
        wanted_bits = described.apply(image).view(np.uint32).ravel()
        np.testing.assert_array_equal(normal.view(np.uint32), wanted_bits, err_msg=str(described))
        np.testing.assert_array_equal(bytes_, described.ordered(image).ravel())


def _kinds(rng: np.random.Generator) -> Any:
    """Endless kinds of channels, of those of the picture, and of ways to fit it."""
    while True:
        channels = int(rng.choice([1, 3]))
        yield (
            channels,
            int(rng.integers(1, 5)),
            str(rng.choice(["crop", "pad", "stretch"])),
            str(rng.choice(["rgb", "bgr"]) if channels == 3 else "rgb"),
        )


def test_a_large_photo_with_few_colours() -> None:
    """Sums of many pixels are exact."""
    rng = np.random.default_rng(1)
    pixels = rng.choice(np.uint8([254, 255]), (1500, 2000, 3))
    described = Preprocess(3, 32, 32, 255, (0.5,) * 3, (0.5,) * 3, fit="crop")
    ((found,),) = call(
        Job(module="picture.js", calls=[("fitted", [picture(pixels), described.to_json()])])
    )
    image = described.fitted(Raster.of_array(pixels))
    np.testing.assert_array_equal(found.reshape(image.shape), image)
