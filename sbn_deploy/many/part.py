"""The answers to a unit of pictures as the content of a parquet file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.many.sources import Batch, Unit
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
    import pyarrow.parquet as pq

    schema = schema_of(classifier)
    batches = [
        pa.record_batch(_columns(classifier, batch, schema), schema=schema)
        for batch in unit.batches()
    ]
    table = pa.Table.from_batches(batches, schema)
    if len(table) != unit.count:
        raise ConfigError(f"{unit.title}: changed while it was read")
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


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
