"""`cifar10:PATH`: 60,000 colour images of 32x32 pixels in ten classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import parquet
from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Indices, Pixels, Stream, digest, states
from sbn_runtime.errors import ConfigError

NAME = "cifar10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32
SUBFOLDER = "cifar-10-batches-bin"


def load(folder: Path, split: Split, form: ImageForm) -> Dataset:
    """One split, from the parquet layout or from the original binary batches.

    Each tenth training image of a class is for validation.

    Raises:
        ConfigError: neither layout is there, or a file is broken.
        MissingDependencyError: the parquet layout needs pyarrow and Pillow.
    """
    if _in_parquet(folder):
        return parquet.load(folder, split, form, NAME)
    part = "test" if split == "test" else "train"
    whole = np.concatenate([_records(batch) for batch in _batches(folder, part)])
    dataset = eight_bit(NAME, _images(whole), whole[:, 0], CLASSES)
    return dataset if part == "test" else of_training_part(dataset, split)


def stream(folder: Path) -> Stream:
    """The test split, read as it is needed. Raises what `load` raises."""
    if _in_parquet(folder):
        return parquet.stream(folder, NAME)
    (batch,) = _batches(folder, "test")
    records = _records(batch)

    def read(wanted: Indices) -> Iterator[Pixels]:
        yield from _images(records[wanted])

    labels = records[:, 0].astype(np.int64)
    fingerprint = digest(states([batch], batch.parent), labels.tobytes())
    return Stream(
        NAME, labels, CLASSES, 255, (32, 32, 3), lambda index: f"image {index}", read, fingerprint
    )


def _in_parquet(folder: Path) -> bool:
    return any(folder.glob("**/*.parquet"))


def _batches(folder: Path, part: str) -> list[Path]:
    binary = folder / SUBFOLDER if (folder / SUBFOLDER).is_dir() else folder
    batches = sorted(binary.glob("test_batch.bin" if part == "test" else "data_batch_*.bin"))
    if not batches:
        raise ConfigError(
            f"no CIFAR-10 in {folder}; it needs train-*.parquet and test-*.parquet, or "
            "data_batch_*.bin and test_batch.bin (the binary version; pickled batches are not read)"
        )
    return batches


def _records(batch: Path) -> NDArray[np.uint8]:
    """Label and pixels of each image, [N, RECORD], in the file."""
    size = batch.stat().st_size
    if size == 0 or size % RECORD:
        raise ConfigError(
            f"{batch} has {size} bytes, not a multiple of {RECORD}; download it again"
        )
    return np.memmap(batch, np.uint8, mode="r").reshape(-1, RECORD)


def _images(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
