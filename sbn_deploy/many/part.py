"""The answers to a unit of pictures as the content of a file, in Arrow's own format.

Parquet is smaller, and takes several times as long to write and to read again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.many.sources import Batch, Unit
from sbn_deploy.reading.parsing import parsing
from sbn_deploy.reading.text import readable
from sbn_runtime import BatchClassifier
from sbn_runtime.calibrated import UNKNOWN
from sbn_runtime.errors import ConfigError


def answers(classifier: BatchClassifier, unit: Unit) -> bytes:
    """The answers to all pictures of a unit.

    Raises ConfigError where the file that they are in is damaged, and what `BatchClassifier`
    raises.
    """
    import pyarrow as pa

    schema = schema_of(classifier)
    batches = [
        pa.record_batch(_columns(classifier, batch, schema), schema=schema)
        for batch in unit.batches()
    ]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    if len(table) != unit.count:
        raise ConfigError(f"{unit.title}: changed while it was read")
    content = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(content, schema, options=options) as writer:
        writer.write_table(table)
    return content.getvalue()


def read(path: Path) -> Any:
    """The answers that a file holds, a table of pyarrow. Raises ConfigError if it is damaged."""
    import pyarrow as pa

    with parsing(ConfigError, path, "is damaged", "delete it and run the command again"):
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        table.validate(full=True)
    return table


def schema_of(classifier: BatchClassifier) -> Any:
    """The columns of the answers, as pyarrow has them."""
    import pyarrow as pa

    kinds = {
        "label": pa.int64(),
        "set": pa.list_(pa.string()),
        "unknown": pa.bool_(),
        **dict.fromkeys(("class", "error"), pa.string()),
    }
    return pa.schema(
        [
            *(("file", pa.string()), ("row", pa.int64()), ("name", pa.string())),
            *((name, kinds.get(name, pa.float32())) for name in classifier.columns),
        ]
    )


def _columns(classifier: BatchClassifier, batch: Batch, schema: Any) -> list[Any]:
    """The answers to some pictures in the order of the schema, null where there is none."""
    import pyarrow as pa

    found = classifier({"image": batch.pictures})
    unreadable = np.array([error is not None for error in found["error"]])
    empty = {"label": found["label"] == UNKNOWN, "unknown": unreadable}
    columns: dict[str, Iterable[Any]] = {
        "file": _readable(batch.files),
        "row": batch.rows,
        "name": _readable(batch.names),
        **found,
        "error": _readable(found["error"]),
    }
    return [
        pa.array(columns[field.name], field.type, mask=empty.get(field.name), from_pandas=True)
        for field in schema
    ]


def _readable(texts: Iterable[str | None]) -> NDArray[Any]:
    return np.array([text and readable(text) for text in texts], object)
