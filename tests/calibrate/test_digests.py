"""Which images were trained on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from sbn_deploy.data.digests import KEPT, Sketch, digests
from sbn_runtime import ModelError


def images(first: int, count: int) -> np.ndarray:
    """Different ones, uint8 [count, 2, 2, 1], by their numbers."""
    return np.arange(first, first + count, dtype=">u4").view(np.uint8).reshape(count, 2, 2, 1)


def test_digests_are_as_defined() -> None:
    found = digests(images(7, 3))
    expected = [
        int.from_bytes(hashlib.sha256(b"|u1(2, 2, 1)" + image.tobytes()).digest()[:8], "big")
        for image in images(7, 3)
    ]
    assert found.tolist() == sorted(expected)
    assert digests(images(7, 3).astype(np.float32)).tolist() != found.tolist()


@pytest.mark.parametrize("count", [50, KEPT, 20_000])
def test_overlap(count: int) -> None:
    """All, half, a few and none of 1,000 images were among those trained on."""
    sketch = Sketch.of(digests(images(0, count)), "train")
    sketch = Sketch.parse(json.loads(json.dumps(sketch.to_json())))
    assert (sketch.images, sketch.split, len(sketch.kept)) == (count, "train", min(count, KEPT))
    part = min(count, 500)
    none = images(1_000_000, 1000)
    assert sketch.overlap(digests(none)) == 0
    assert sketch.overlap(digests(images(0, part))) == 1
    half = np.concatenate([images(0, part), none[:part]])
    asked, known = sketch.asked(digests(half))
    assert 0 < known <= part
    if count <= KEPT:
        assert (asked, known) == (2 * part, part)
    assert sketch.overlap(digests(half)) == pytest.approx(0.5, abs=3 * 0.5 / asked**0.5)
    duplicate = np.concatenate([images(0, 1), none])
    assert sketch.overlap(digests(duplicate)) == 0


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"images": 3, "split": "train", "smallest_digests": "?"},
        {"images": 3, "split": "train", "smallest_digests": ""},
        {"images": 1, "split": "train", "smallest_digests": "AAAAAAAAAAA="},
        {"images": "3", "split": "train", "smallest_digests": "AAAA"},
        {"images": 3, "split": 1, "smallest_digests": "AAAAAA=="},
        {"images": 3, "split": "train", "smallest_digests": 5},
    ],
)
def test_damage(said: Any) -> None:
    with pytest.raises(ModelError, match="training images is damaged; export it again"):
        Sketch.parse(said)
