"""`signals`: noisy waveforms of six kinds, generated from a fixed seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split, of_whole
from sbn_runtime.preprocess import Standardize

CLASSES = ("sine", "square", "sawtooth", "chirp", "burst", "noise")
LENGTH = 128
EACH = 500
NOISE = 0.7

Array = NDArray[np.float64]


def load(split: Split) -> Dataset:
    """500 signals of each kind, float32 [N, 1, 128], of random frequency, phase and size.

    A fifth is for testing, a tenth of the rest for validation.
    """
    # The numbers of RandomState are the same in every version of NumPy.
    random = np.random.RandomState(0)
    count = EACH * len(CLASSES)
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    cycles, phase, size, place = (
        random.uniform(low, high, (count, 1))
        for low, high in ((3, 12), (0, 1), (0.7, 1.5), (0.2, 0.8))
    )
    time = np.arange(LENGTH) / LENGTH
    clean = np.stack(_waves(time, cycles, phase, place))[labels, np.arange(count)]
    signals = (size * clean + NOISE * random.standard_normal((count, LENGTH)))[:, np.newaxis]
    whole = Dataset(
        name="signals",
        images=signals.astype(np.float32),
        labels=labels,
        classes=CLASSES,
        preprocess=Standardize((1, LENGTH), mean=(0.0,), std=(1.0,)),
    )
    return of_whole(whole, split)


def _waves(time: Array, cycles: Array, phase: Array, place: Array) -> list[Array]:
    """One signal of each kind for each row, of about the same power."""
    turns = cycles * time + phase
    sine = np.sqrt(2) * np.sin(2 * np.pi * turns)
    window = np.exp(-(((time - place) / 0.08) ** 2))
    return [
        sine,
        np.sign(sine),
        np.sqrt(3) * (2 * (turns % 1) - 1),
        # From half the frequency to twice as much.
        np.sqrt(2) * np.sin(2 * np.pi * (cycles * time * (0.5 + 0.75 * time) + phase)),
        3.1 * window * sine,
        np.zeros_like(turns),
    ]
