"""Parquet files of images and labels. pyarrow is imported when a file is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading.parsing import check_memory, parsing
from sbn_runtime.errors import ConfigError, MissingDependencyError

# Encoded images in memory at once.
ROWS = 512
NO_LABEL = -1


class ParquetFile:
    """A parquet file, as a context manager.

    Raises ConfigError here and wherever it turns out to be damaged, and
    MissingDependencyError without pyarrow.

    Attributes:
        columns: their names.
        image_column: the first that holds encoded images, a struct with `bytes`, or None.
        groups: rows in each row group.
        metadata: of the schema.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingDependencyError(
                "parquet files need pyarrow; install it with `pip install sbn-deploy[train]`"
            ) from error
        self.path = path
        with self._parsing():
            # Nothing in a file is longer than the file.
            size = max(1, path.stat().st_size)
            self._file = pq.ParquetFile(
                path, thrift_string_size_limit=size, thrift_container_size_limit=size
            )
            schema = self._file.schema_arrow
            self.columns: list[str] = schema.names
            self.image_column = next((f.name for f in schema if _holds_images(f.type)), None)
            self.metadata: dict[bytes, bytes] = schema.metadata or {}
            found = self._file.metadata
            self.groups = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
            if min(self.groups, default=0) < 0 or sum(self.groups) != found.num_rows:
                raise ValueError(f"it claims {found.num_rows} rows, in groups of {self.groups}")
            check_memory(sum(self.groups) * np.int64().itemsize)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def integers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers [N]; `NO_LABEL` where there is none."""
        from pyarrow import int64, types

        with self._parsing():
            kind = self._file.schema_arrow.field(column).type
        if not (types.is_integer(kind) or types.is_boolean(kind)):
            raise ConfigError(f"{self.path}: column {column!r} is {kind}; it must hold integers")
        with self._parsing():
            values = self._file.read(columns=[column])[column].cast(int64()).fill_null(NO_LABEL)
            numbers: NDArray[np.int64] = values.to_numpy()
            if len(numbers) != sum(self.groups):
                raise ValueError(f"column {column!r} has {len(numbers)} rows")
        return numbers

    def images(self, group: int) -> Iterator[list[bytes]]:
        """The encoded images of a row group, some at a time; empty where there is none."""
        for contents, _ in self.named_images(group):
            yield contents

    def named_images(self, group: int) -> Iterator[tuple[list[bytes], list[str | None]]]:
        """The same, and the `path` of each, which need not be there."""
        rows = 0
        with self._parsing():
            batches = self._file.iter_batches(ROWS, row_groups=[group], columns=[self.image_column])
        while True:
            with self._parsing():
                batch = next(batches, None)
                if batch is None:
                    break
                contents = [content or b"" for content in _field(batch, "bytes")]
                names = [name if isinstance(name, str) else None for name in _field(batch, "path")]
            rows += len(contents)
            yield contents, names
        if rows != self.groups[group]:
            raise ConfigError(f"{self.path} is damaged: group {group} has {rows} images")

    def _parsing(self) -> AbstractContextManager[None]:
        return parsing(
            ConfigError, self.path, "is damaged or not a parquet file", "download it again"
        )


def _field(batch: Any, name: str) -> list[Any]:
    """A field of the structs in the only column; None where it, or the whole struct, is null."""
    column = batch.column(0)
    index = column.type.get_field_index(name)
    # A dict for each row would take several times as long.
    return column.flatten()[index].to_pylist() if index >= 0 else [None] * len(column)


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_struct(kind)
        and kind.get_field_index("bytes") >= 0
        and types.is_binary(kind.field("bytes").type)
    )
