"""Image data sets in the parquet layout of the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_deploy.data.decode import decode
from sbn_runtime.errors import ConfigError, MissingDependencyError

LABELS = ("label", "labels", "fine_label")
VALIDATION_PARTS = ("validation", "valid", "val", "dev")


def load(folder: Path, split: Split, name: str) -> Dataset:
    """One split of a folder of `train-*.parquet`, `test-*.parquet` and so on.

    A column holds encoded images (`img` or `image`, with `bytes`), another one
    integer labels (`label`). Names of the classes come from the file's
    metadata. Without a validation part, each tenth training image of a class
    is for validation; without a test part, each fifth image is for testing.

    Raises:
        ConfigError: a missing or broken file, or no such columns.
        MissingDependencyError: pyarrow or Pillow is missing.
    """
    own_validation = next((part for part in VALIDATION_PARTS if _files(folder, part)), None)
    if split == "test" and _files(folder, "test"):
        return _part(folder, "test", name)
    if own_validation and split == "validation":
        return _part(folder, own_validation, name)
    train = _part(folder, "train", name)
    if own_validation and split != "test":
        if split == "train":
            return train
        extra = _part(folder, own_validation, name)
        return eight_bit(
            name,
            np.concatenate([train.images, extra.images]),
            np.concatenate([train.labels, extra.labels]),
            train.classes,
        )
    return (of_training_part if _files(folder, "test") else of_whole)(train, split)


def _files(folder: Path, part: str) -> list[Path]:
    found = [*folder.glob(f"{part}-*.parquet"), *folder.glob(f"{part}.parquet")]
    return sorted(found) or sorted((folder / "data").glob(f"{part}-*.parquet"))


def _part(folder: Path, part: str, name: str) -> Dataset:
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError(
            "parquet files need pyarrow; install it with `pip install sbn-deploy[train]`"
        ) from error
    files = _files(folder, part)
    if not files:
        raise ConfigError(
            f"no {part}-*.parquet in {folder}; give the folder that holds the parquet files"
        )
    images: list[Any] = []
    labels: list[Any] = []
    try:
        tables = [pq.read_table(file) for file in files]
    except (OSError, pyarrow.ArrowException) as error:
        raise ConfigError(f"a parquet file in {folder} is damaged: {error}") from error
    schema = tables[0].schema
    image_column = next((f.name for f in schema if _holds_images(f.type)), None)
    label_column = next((n for n in LABELS if n in schema.names), None)
    if image_column is None or label_column is None:
        raise ConfigError(
            f"{files[0]} has columns {', '.join(schema.names)}; it needs one with encoded "
            f"images (a struct with `bytes`) and one with labels named {' or '.join(LABELS)}"
        )
    for table in tables:
        images += table[image_column].to_pylist()
        labels += table[label_column].to_pylist()
    if any(not isinstance(label, int) for label in labels):
        raise ConfigError(f"{files[0]}: column {label_column!r} must hold integers, none missing")
    pixels = decode(
        ((f"image {index} of {part}", image["bytes"] or b"") for index, image in enumerate(images)),
        name,
    )
    array = np.array(labels, dtype=np.int64)
    classes = _classes(schema.metadata, label_column)
    return eight_bit(
        name, pixels, array, classes or [str(i) for i in range(int(array.max(initial=0)) + 1)]
    )


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(
        types.is_struct(kind)
        and kind.get_field_index("bytes") >= 0
        and types.is_binary(kind.field("bytes").type)
    )


def _classes(metadata: dict[bytes, bytes] | None, column: str) -> list[str] | None:
    """Class names where the file tells them."""
    try:
        described = json.loads((metadata or {})[b"huggingface"])
        return [str(value) for value in described["info"]["features"][column]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
