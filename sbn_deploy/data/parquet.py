"""Image data sets in the parquet layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_deploy.data.decode import check_pillow, decode, decode_one
from sbn_deploy.data.stream import Indices, Pixels, Stream, Unreadable, digest, states
from sbn_runtime.errors import ConfigError, InputError, MissingDependencyError

LABELS = ("label", "labels", "fine_label")
NO_LABEL = -1
# Encoded images in memory at once.
ROWS = 256
VALIDATION_PARTS = ("validation", "valid", "val", "dev")


def load(folder: Path, split: Split, name: str = "") -> Dataset:
    """One split of a folder of `train-*.parquet`, `test-*.parquet` and so on.

    A column holds encoded images (`img` or `image`, with `bytes`), another one
    integer labels (`label`). Names of the classes come from the file's
    metadata. Without a validation part, each tenth training image of a class
    is for validation; without a test part, each fifth image is for testing.

    Raises:
        ConfigError: a missing or broken file, or no such columns.
        MissingDependencyError: pyarrow or Pillow is missing.
    """
    name = name or f"hf-parquet:{folder.name}"
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


@dataclass(frozen=True)
class _Table:
    """The files of a part: which columns hold what, the labels [N], names of the classes."""

    part: str
    files: list[Path]
    image_column: str
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None

    def title(self, index: int) -> str:
        return f"image {index} of {self.part}"

    def images(self, wanted: Indices) -> Iterator[bytes]:
        """The encoded images of rising indices; row groups without any are passed over."""
        with _opened(self.files) as opened:
            base = 0
            for file in opened:
                for group in range(file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    if np.searchsorted(wanted, base) < np.searchsorted(wanted, base + count):
                        yield from self._of_group(file, group, base, wanted)
                    base += count

    def _of_group(self, file: Any, group: int, base: int, wanted: Indices) -> Iterator[bytes]:
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=[self.image_column]):
            begin, end = np.searchsorted(wanted, (base, base + len(batch)))
            for index in wanted[begin:end]:
                image = batch.column(0)[int(index) - base].as_py()
                yield (image or {}).get("bytes") or b""
            base += len(batch)


def stream(folder: Path, name: str = "") -> Stream:
    """The test split, decoded as it is needed; labels that are missing are -1.

    Raises what `load` raises, but not for images that cannot be read or of any size.
    """
    own = bool(_files(folder, "test"))
    table = _table(folder, "test" if own else "train")
    check_pillow()

    def read(wanted: Indices) -> Iterator[Pixels | Unreadable]:
        for image in table.images(wanted):
            try:
                yield decode_one(image)
            except InputError as error:
                yield Unreadable(str(error))

    whole = Stream(
        name=name or f"hf-parquet:{folder.name}",
        labels=table.labels,
        classes=table.classes,
        pixel_max=255,
        shape=None,
        title=table.title,
        read=read,
        fingerprint=digest(states(table.files, folder), table.labels.tobytes()),
    )
    return whole if own else whole.test_part()


def _part(folder: Path, part: str, name: str) -> Dataset:
    table = _table(folder, part)
    if (table.labels == NO_LABEL).any():
        first = int(np.flatnonzero(table.labels == NO_LABEL)[0])
        raise ConfigError(f"{name}: {table.title(first)} has no label; each needs one from 0 up")
    images = table.images(np.arange(len(table.labels)))
    pixels = decode(((table.title(i), image) for i, image in enumerate(images)), name)
    classes = table.classes or [str(i) for i in range(int(table.labels.max(initial=0)) + 1)]
    return eight_bit(name, pixels, table.labels, classes)


def _table(folder: Path, part: str) -> _Table:
    files = _files(folder, part)
    if not files:
        raise ConfigError(
            f"no {part}-*.parquet in {folder}; give the folder that holds the parquet files"
        )
    labels: list[int | None] = []
    with _opened(files) as opened:
        schema = opened[0].schema_arrow
        image_column = next((f.name for f in schema if _holds_images(f.type)), None)
        label_column = next((n for n in LABELS if n in schema.names), None)
        if image_column is None or label_column is None:
            raise ConfigError(
                f"{files[0]} has columns {', '.join(schema.names)}; it needs one with encoded "
                f"images (a struct with `bytes`) and one with labels named {' or '.join(LABELS)}"
            )
        for file in opened:
            labels += file.read(columns=[label_column])[label_column].to_pylist()
        if any(not isinstance(label, int | None) for label in labels):
            raise ConfigError(f"{files[0]}: column {label_column!r} must hold integers")
        numbers = [NO_LABEL if label is None else label for label in labels]
        classes = _classes(schema.metadata, label_column)
    return _Table(part, files, image_column, np.array(numbers, dtype=np.int64), classes)


@contextmanager
def _opened(files: Sequence[Path]) -> Iterator[list[Any]]:
    """The files, opened. What is found wrong with them inside becomes a ConfigError."""
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError(
            "parquet files need pyarrow; install it with `pip install sbn-deploy[train]`"
        ) from error
    opened: list[Any] = []
    try:
        for path in files:
            opened.append(pq.ParquetFile(path))
        yield opened
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise ConfigError(
            f"a parquet file in {files[0].parent} is damaged: {error}; download it again"
        ) from error
    finally:
        for file in opened:
            file.close()


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(
        types.is_struct(kind)
        and kind.get_field_index("bytes") >= 0
        and types.is_binary(kind.field("bytes").type)
    )


def _classes(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...] | None:
    """Class names where the file names them."""
    try:
        described = json.loads((metadata or {})[b"huggingface"])
        return tuple(map(str, described["info"]["features"][column]["names"]))
    except (KeyError, TypeError, ValueError):
        return None
