"""`cifar10:PATH`: 60,000 colour images of 32x32 pixels in ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sbn_deploy.data import parquet
from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part
from sbn_runtime.errors import ConfigError

NAME = "cifar10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32
SUBFOLDER = "cifar-10-batches-bin"


def load(folder: Path, split: Split) -> Dataset:
    """One split, from the parquet layout or from the original binary batches.

    Each tenth training image of a class is for validation.

    Raises:
        ConfigError: neither layout is there, or a file is broken.
        MissingDependencyError: the parquet layout needs pyarrow and Pillow.
    """
    part = "test" if split == "test" else "train"
    binary = folder / SUBFOLDER if (folder / SUBFOLDER).is_dir() else folder
    if list(folder.glob("**/*.parquet")):
        return parquet.load(folder, split, NAME)
    batches = sorted(binary.glob("test_batch.bin" if part == "test" else "data_batch_*.bin"))
    if not batches:
        raise ConfigError(
            f"no CIFAR-10 in {folder}; it needs train-*.parquet and test-*.parquet, or "
            "data_batch_*.bin and test_batch.bin (the binary version; pickled batches are not read)"
        )
    records = []
    for batch in batches:
        data = np.fromfile(batch, np.uint8)
        if len(data) == 0 or len(data) % RECORD:
            raise ConfigError(
                f"{batch} has {len(data)} bytes, no multiple of {RECORD}; download it again"
            )
        records.append(data.reshape(-1, RECORD))
    whole = np.concatenate(records)
    images = whole[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    dataset = eight_bit(NAME, np.ascontiguousarray(images), whole[:, 0], CLASSES)
    return dataset if part == "test" else of_training_part(dataset, split)
