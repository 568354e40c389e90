"""What somebody writes who does not know of `sbn predict -o`: files shared among processes.

    python -m tests.tools.many_loops OUTPUT PROCESSES BATCH MODEL FILE…

The answers to the pictures of parquet files, tar archives or `.npz` files go to one parquet file.
Pictures are decoded as `sbn predict` does it, and computed by a `Session` in batches of BATCH; of
each come label, confidence and entropy.
"""

from __future__ import annotations

import multiprocessing
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sbn_runtime import Session
from sbn_runtime.given import read_picture
from sbn_runtime.preprocess import Preprocess

session: Session
size: int


def start(model: str, batch: int) -> None:
    """Opens the model in a process."""
    global session, size
    session, size = Session(model, threads=1), batch


def wanted() -> Preprocess:
    """How pictures become the model's input."""
    return Preprocess.from_json(session.metadata["preprocess"])


def encoded(path: Path) -> Iterator[bytes]:
    """Pictures of a parquet file or a tar archive."""
    if path.suffix == ".tar":
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".png"):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield file.read()
    else:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(size, columns=["image"]):
                yield from batch.column("image").field("bytes").to_pylist()


def batches(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Pixels, some pictures at a time."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            images = archive["images"]
        for start in range(0, len(images), size):
            yield images[start : start + size]
        return
    model, waiting = wanted(), []
    for content in encoded(path):
        waiting.append(read_picture(content, model))
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


def answer(path: Path) -> dict[str, NDArray[Any]]:
    """The answers to the pictures of a file."""
    found = [
        session.predict(session.preprocess(images), return_uncertainty=True)
        for images in batches(path)
    ]
    return {
        name: np.concatenate([getattr(one, name) for one in found])
        for name in ("label", "probability", "entropy")
    }


def main(output: str, processes: str, batch: str, model: str, *files: str) -> None:
    """Answers all files."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(int(processes), start, (model, int(batch))) as pool:
        writer = None
        for path, found in zip(files, pool.imap(answer, map(Path, files)), strict=True):
            table = pa.table({"file": [path] * len(found["label"]), **found})
            writer = writer or pq.ParquetWriter(output, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
        pool.close()
        pool.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
