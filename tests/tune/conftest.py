"""A recipe that trains in a blink."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.train.config import TrainConfig

SEARCH = """
[search]
latent_lr = { low = 0.1, high = 10.0, log = true }
weights = ["sampled", "deterministic"]
"""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images of four classes that differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 4
    images = rng.integers(0, 90, (300, 8, 8, 1)) + 40 * labels[:, None, None, None]
    path = tmp_path_factory.mktemp("images") / "data.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return path


@pytest.fixture
def base(images: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        out=tmp_path / "unused",
        arch="digits-cnn",
        data=f"npz:{images}",
        epochs=3,
        members=1,
        model={"width": 8},
    )


@pytest.fixture
def search_file(tmp_path: Path) -> Path:
    path = tmp_path / "search.toml"
    path.write_text(SEARCH)
    return path


@pytest.fixture
def recipe_file(images: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(
        f'arch = "digits-cnn"\ndata = "npz:{images}"\nepochs = 3\nmembers = 1\n[model]\nwidth = 8\n'
    )
    return path
