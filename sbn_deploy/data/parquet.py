"""Image data sets in the parquet layout of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.shards import Layout, parts_of
from sbn_deploy.data.stream import Indices, Stream
from sbn_deploy.reading.parquet import ParquetFile
from sbn_deploy.reading.text import parse_json, readable, readable_names
from sbn_runtime.errors import ConfigError

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
    return _layout(folder, name).load(split, form)


def stream(folder: Path, split: Split = "test", name: str = "") -> Stream:
    """One split, decoded as it is needed; labels that are missing are -1.

    Raises what `load` raises, but not for images that cannot be read or of any size.
    """
    return _layout(folder, name).stream(split)


def _layout(folder: Path, name: str) -> Layout:
    missing = f"no train-*.parquet in {folder}; give the folder that holds the parquet files"
    parts = parts_of(lambda part: _files(folder, part))
    return Layout(name or readable(f"hf-parquet:{folder.name}"), parts, _table, missing)


def _files(folder: Path, part: str) -> list[Path]:
    found = [*folder.glob(f"{part}-*.parquet"), *folder.glob(f"{part}.parquet")]
    return sorted(found) or sorted((folder / "data").glob(f"{part}-*.parquet"))


@dataclass(frozen=True)
class _Table:
    """Parquet files: the rows of each row group, the labels [N], names of the classes."""

    files: list[Path]
    rows: list[list[int]]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None

    @property
    def groups(self) -> Indices:
        counts = [count for file in self.rows for count in file]
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def _firsts(self) -> Indices:
        return np.cumsum([0, *map(sum, self.rows)])

    def title(self, index: int) -> str:
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return f"row {index - self._firsts[number]} of {readable(str(self.files[number]))}"

    def contents(self, wanted: Indices) -> Iterator[bytes]:
        """The encoded images of rising indices; files and row groups without any are not read."""
        for path, rows, base in zip(self.files, self.rows, self._firsts, strict=False):
            firsts = base + np.cumsum([0, *rows])
            marks = np.searchsorted(wanted, firsts)
            if marks[0] == marks[-1]:
                continue
            with ParquetFile(path) as file:
                if file.groups != rows:
                    raise ConfigError(f"{path} has changed since training began; start again")
                for group in np.flatnonzero(np.diff(marks)):
                    own = wanted[marks[group] : marks[group + 1]]
                    yield from _chosen(file.images(int(group)), int(firsts[group]), own)


def _chosen(batches: Iterable[Sequence[bytes]], base: int, wanted: Indices) -> Iterator[bytes]:
    for batch in batches:
        begin, end = np.searchsorted(wanted, (base, base + len(batch)))
        for index in wanted[begin:end]:
            yield batch[int(index) - base]
        base += len(batch)


def _table(files: list[Path]) -> _Table:
    labels = []
    rows = []
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
            rows.append(file.groups)
            if path == files[0]:
                classes = _classes(file, column)
    return _Table(files, rows, np.concatenate(labels), classes)


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
