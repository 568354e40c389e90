"""The smallest recipe that trains: a few steps on a few random images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def few_steps(folder: Path) -> dict[str, Any]:
    """Settings of `TrainConfig`, with the images in a file of this folder."""
    path = folder / "few.npz"
    images = np.random.default_rng(0).integers(256, size=(40, 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(40) % 2)
    settings = {"data": f"npz:{path}", "arch": "digits-cnn", "model": {"width": 2}}
    return settings | {"members": 1, "epochs": 1, "batch_size": 8}
