"""CIFAR's batches for Python, as data sets read them: pickles of which nothing is executed."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy import data
from sbn_deploy.reading import pickled

from .mutate import damaged, verdict


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    content = pickle.dumps(_batch(rng), protocol=rng.choice((0, 1, 2, 2, 3, 4, 5)))
    if rng.random() < 0.5:
        content = damaged(content, rng)
    path = folder / "test_batch"
    path.write_bytes(content)
    return verdict(lambda: data.load(f"cifar10:{folder}", "test"), lambda: pickled.read(path))


def _batch(rng: random.Random) -> Any:
    """A good batch, or one with something else in it."""
    count = rng.choice((1, 20, 20))
    batch: dict[Any, Any] = {
        b"data": np.zeros((count, rng.choice((3072, 3072, 5))), rng.choice(("u1", "u1", "f4"))),
        b"labels": [rng.choice((0, 9, 9, 9)) for _ in range(count)],
    }
    odd = rng.choice((None, [1], {2: 3}, Path("x"), b"x" * 300, {4}, 1e300, np.array(["a"])))
    if rng.random() < 0.5:
        batch[rng.choice((b"data", b"labels", "data", 7))] = odd
    return batch if rng.random() < 0.9 else odd
