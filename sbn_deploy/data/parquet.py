"""Image data sets in the parquet layout of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import (
    VALIDATION_PARTS,
    Dataset,
    Split,
    eight_bit,
    numbered,
    of_parts,
)
from sbn_deploy.data.decode import decode
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Encoded, Indices, Stream, Unreadable, digest, states
from sbn_deploy.reading.parquet import NO_LABEL, ParquetFile
from sbn_deploy.reading.text import parse_json, readable, readable_names
from sbn_runtime.decode import decode as decoded
from sbn_runtime.decode import formats
from sbn_runtime.errors import ConfigError, InputError

LABELS = ("label", "labels", "fine_label")


def load(folder: Path, split: Split, form: ImageForm, name: str = "") -> Dataset:
    """One split of a folder of `train-*.parquet`, `test-*.parquet` and so on.

    A column holds encoded images (`img` or `image`, with `bytes`), another one
    integer labels (`label`). Names of the classes come from the file's
    metadata. A part for validation may be called as in `VALIDATION_PARTS`; it and that for
    testing may be missing, see `of_parts`.

    Raises:
        ConfigError: a missing or broken file, no such columns, or images of several sizes
            while the form has none.
        MissingDependencyError: pyarrow or Pillow is missing.
    """
    validation = next((part for part in VALIDATION_PARTS if _files(folder, part)), "")
    named = {"train": "train", "validation": validation, "test": "test"}
    parts = {part for part, own in named.items() if own and _files(folder, own)}
    return of_parts(
        split, lambda part: _part(folder, named[part], name or _name(folder), form), parts
    )


def _name(folder: Path) -> str:
    return readable(f"hf-parquet:{folder.name}")


def _files(folder: Path, part: str) -> list[Path]:
    found = [*folder.glob(f"{part}-*.parquet"), *folder.glob(f"{part}.parquet")]
    return sorted(found) or sorted((folder / "data").glob(f"{part}-*.parquet"))


@dataclass(frozen=True)
class _Table:
    """The files of a part: the labels [N], names of the classes."""

    part: str
    files: list[Path]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None

    def title(self, index: int) -> str:
        return f"image {index} of {self.part}"

    def images(self, wanted: Indices) -> Iterator[bytes]:
        """The encoded images of rising indices; row groups without any are passed over."""
        base = 0
        for path in self.files:
            with ParquetFile(path) as file:
                for group, count in enumerate(file.groups):
                    if np.searchsorted(wanted, base) < np.searchsorted(wanted, base + count):
                        yield from _chosen(file.images(group), base, wanted)
                    base += count


def _chosen(batches: Iterable[Sequence[bytes]], base: int, wanted: Indices) -> Iterator[bytes]:
    for batch in batches:
        begin, end = np.searchsorted(wanted, (base, base + len(batch)))
        for index in wanted[begin:end]:
            yield batch[int(index) - base]
        base += len(batch)


def stream(folder: Path, name: str = "") -> Stream:
    """The test split, decoded as it is needed; labels that are missing are -1.

    Raises what `load` raises, but not for images that cannot be read or of any size.
    """
    own = bool(_files(folder, "test"))
    table = _table(folder, "test" if own else "train")
    formats()  # Pillow must be there

    def read(wanted: Indices) -> Iterator[Encoded]:
        for image in table.images(wanted):
            try:
                yield decoded(image)
            except InputError as error:
                yield Unreadable(str(error))

    whole = Stream(
        name=name or _name(folder),
        labels=table.labels,
        classes=table.classes,
        pixel_max=255,
        shape=None,
        title=table.title,
        read=read,
        fingerprint=digest(states(table.files, folder), table.labels.tobytes()),
    )
    return whole if own else whole.test_part()


def _part(folder: Path, part: str, name: str, form: ImageForm) -> Dataset:
    table = _table(folder, part)
    if (table.labels == NO_LABEL).any():
        first = int(np.flatnonzero(table.labels == NO_LABEL)[0])
        raise ConfigError(f"{name}: {table.title(first)} has no label; each needs one from 0 up")
    images = table.images(np.arange(len(table.labels)))
    pixels = decode(((table.title(i), image) for i, image in enumerate(images)), name, form)
    classes = table.classes or numbered(table.labels, name)
    return eight_bit(name, pixels, table.labels, classes, form.fit)


def _table(folder: Path, part: str) -> _Table:
    files = _files(folder, part)
    if not files:
        raise ConfigError(
            f"no {part}-*.parquet in {folder}; give the folder that holds the parquet files"
        )
    labels = []
    classes: tuple[str, ...] | None = None
    for path in files:
        with ParquetFile(path) as file:
            column = next((name for name in LABELS if name in file.columns), None)
            if file.image_column is None or column is None:
                raise ConfigError(
                    f"{path} has columns {', '.join(file.columns)}; it needs one with encoded "
                    f"images (a struct with `bytes`) and one with labels named "
                    f"{' or '.join(LABELS)}"
                )
            labels.append(file.integers(column))
            if path == files[0]:
                classes = _classes(file, column)
    return _Table(part, files, np.concatenate(labels), classes)


def _classes(file: ParquetFile, column: str) -> tuple[str, ...] | None:
    """Class names where the file names them."""
    text = file.metadata.get(b"huggingface")
    if text is None:
        return None
    described = parse_json(text, f"the metadata `huggingface` of {file.path}", ConfigError)
    try:
        names = described["info"]["features"][column]["names"]
    except (KeyError, TypeError):
        return None
    return readable_names(names) if isinstance(names, list) else None
