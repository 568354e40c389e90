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
from sbn_deploy.reading import pickled
from sbn_runtime.errors import ConfigError

NAME = "cifar10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS
SUBFOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")


def load(folder: Path, split: Split, form: ImageForm) -> Dataset:
    """One split, from the parquet layout or the original batches, binary or pickled.

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
        return parquet.stream(folder, name=NAME)
    (batch,) = _batches(folder, "test")
    records = _records(batch)

    def read(wanted: Indices) -> Iterator[Pixels]:
        yield from _images(records[wanted])

    labels = records[:, 0].astype(np.int64)
    return Stream(
        name=NAME,
        labels=labels,
        classes=CLASSES,
        pixel_max=255,
        shape=(32, 32, 3),
        title=lambda index: f"image {index}",
        read=read,
        fingerprint=lambda: digest(states([batch], batch.parent), labels.tobytes()),
    )


def _in_parquet(folder: Path) -> bool:
    return any(folder.glob("**/*.parquet"))


def _batches(folder: Path, part: str) -> list[Path]:
    name = "test_batch" if part == "test" else "data_batch_*"
    for within in (folder, *(folder / subfolder for subfolder in SUBFOLDERS)):
        for suffix in (".bin", ""):
            found = sorted(path for path in within.glob(name + suffix) if path.suffix == suffix)
            if found:
                return found
    raise ConfigError(
        f"no CIFAR-10 in {folder}; it needs train-*.parquet and test-*.parquet, or data_batch_1 and"
        " so on with test_batch (the version for Python), or the same with .bin (the binary one)"
    )


def _records(batch: Path) -> NDArray[np.uint8]:
    """Label and pixels of each image, [N, RECORD], in the file."""
    if batch.suffix != ".bin":
        return _pickled(batch)
    size = batch.stat().st_size
    if size == 0 or size % RECORD:
        raise ConfigError(
            f"{batch} has {size} bytes, not a multiple of {RECORD}; download it again"
        )
    return np.memmap(batch, np.uint8, mode="r").reshape(-1, RECORD)


def _pickled(batch: Path) -> NDArray[np.uint8]:
    """The records of a batch for Python."""
    found = pickled.read(batch)
    pixels, labels = found.get("data"), found.get("labels")
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (PIXELS,)
        or not isinstance(labels, list)
    ):
        raise ConfigError(
            f"{batch} does not hold data [N, {PIXELS}] and labels; download CIFAR-10 again"
        )
    known = all(isinstance(label, int) and 0 <= label < len(CLASSES) for label in labels)
    if len(labels) != len(pixels) or not known:
        raise ConfigError(
            f"{batch} has {len(labels)} labels for {len(pixels)} images, or labels outside 0 to"
            f" {len(CLASSES) - 1}; download CIFAR-10 again"
        )
    return np.hstack([np.array(labels, np.uint8)[:, np.newaxis], pixels])


def _images(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
