"""Held-out data for the small models, whose labels their own noise draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sbn_deploy.data import Dataset
from sbn_runtime import Session
from sbn_runtime.preprocess import Preprocess

from ..small_models import CLASSES, PREPROCESS, random_images


def held_out(path: Path, count: int, seed: int = 5, *, power: float = 0.5) -> Dataset:
    """Images and labels drawn from the file's probabilities to the power, normalised.

    With a power below 1 the file is too sure of itself.
    """
    session = Session(path)
    images = random_images(count, seed)
    p = session.predict_proba(session.preprocess(images)).astype(np.float64) ** power
    p /= p.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    labels = (p.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return Dataset("drawn", images, labels, CLASSES, Preprocess.from_json(PREPROCESS))
