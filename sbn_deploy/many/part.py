"""The answers to a unit of pictures as a parquet file, made in a process of its own."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.many.sources import Row, Unit
from sbn_deploy.reading.text import readable
from sbn_runtime import BatchClassifier
from sbn_runtime.batches import BATCH
from sbn_runtime.calibrated import UNKNOWN
from sbn_runtime.errors import ConfigError
from sbn_runtime.files import write_atomically

_classifier: BatchClassifier | None = None


def start(classifier: BatchClassifier) -> None:
    """Prepares a process: it leaves Ctrl-C to the one that started it, and ends with that."""
    global _classifier
    _classifier = classifier
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def classify(unit: Unit, target: Path) -> None:
    """Writes the answers to all pictures of a unit, atomically.

    Raises ConfigError where the file that they are in is damaged, OutputError, and what
    `BatchClassifier` raises.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert _classifier is not None
    schema = schema_of(_classifier)
    content, rows, count = io.BytesIO(), unit.rows(), 0
    with pq.ParquetWriter(content, schema) as writer:
        while batch := [*islice(rows, BATCH)]:
            writer.write_table(pa.table(_columns(_classifier, batch), schema=schema))
            count += len(batch)
    if count != unit.count:
        raise ConfigError(f"{unit.title}: changed while it was read")
    write_atomically(target, content.getvalue())


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


def _columns(classifier: BatchClassifier, rows: list[Row]) -> dict[str, Any]:
    """The answers to some pictures, null where there is none."""
    import pyarrow as pa

    found = classifier({"image": [row.picture for row in rows]})
    found["error"] = np.array([error and readable(error) for error in found["error"]], object)
    unreadable = np.array([error is not None for error in found["error"]])
    empty = {"label": found["label"] == UNKNOWN, "unknown": unreadable}
    schema = schema_of(classifier)
    places: dict[str, list[Any]] = {
        "file": [readable(row.file) for row in rows],
        "row": [row.row for row in rows],
        "name": [row.name and readable(row.name) for row in rows],
    }
    return places | {
        name: pa.array(values, schema.field(name).type, mask=empty.get(name), from_pandas=True)
        for name, values in found.items()
    }
