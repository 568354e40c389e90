"""The answers of an unfinished evaluation, in a file that grows batch by batch.

A file is a row of frames: length (uint64) and CRC-32 (uint32) of the content, then the
content, which is one line of JSON and arrays. The first frame says what is evaluated, each
other one holds the answers to a batch. An incomplete frame, left by a killed run, is dropped.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.system import host
from sbn_runtime import InputError

FORMAT = "sbn-evaluation-part"
_HEAD = struct.Struct("<QI")


@dataclass(frozen=True)
class Batch:
    """What came of some images in a row.

    Attributes:
        first, count: which images.
        indices, labels, probabilities: int64 [N], int64 [N], float32 [N, K] of those answered.
        skipped: index and reason of the others.
        seconds: that it took.
    """

    first: int
    count: int
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    skipped: list[tuple[int, str]]
    seconds: float


class Partial:
    """The file of an unfinished evaluation, held by one process at a time.

    Args:
        path: the file, which is made if it is missing.
        key: what is evaluated, JSON-able. The answers of anything else are dropped.

    Attributes:
        dropped: whether that happened.

    Raises:
        InputError: another process writes this file.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path = path
        # All that is written goes to the end.
        self._file: IO[bytes] = path.open("a+b", 0)
        self._file.seek(0)
        try:
            host.lock(self._file)
        except BlockingIOError:
            self._file.close()
            raise InputError(
                f"{path} is being written by another run; wait for it, or choose another -o"
            ) from None
        begin = json.dumps({"format": FORMAT, **key}, sort_keys=True).encode()
        found = self._frame()
        self.dropped = found is not None and found != begin
        if found != begin:
            self._file.seek(0)
            self._file.truncate()
            self._write(begin)

    def batches(self) -> Iterator[Batch]:
        """The answers so far, in order; to be read to the end before more are added."""
        done = 0
        good = self._file.tell()
        while (content := self._frame()) is not None:
            batch = _decoded(content)
            if batch.first != done:
                break
            done += batch.count
            good = self._file.tell()
            yield batch
        self._file.seek(good)
        self._file.truncate()

    def append(self, batch: Batch) -> None:
        """Adds the answers to the next images. Raises OSError."""
        self._write(_encoded(batch))

    def close(self) -> None:
        """Keeps the file for later."""
        self._file.close()

    def discard(self) -> None:
        """Deletes the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, content: bytes) -> None:
        frame = memoryview(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        while frame:
            frame = frame[self._file.write(frame) :]

    def _frame(self) -> bytes | None:
        """The content of the next frame, None if there is no complete one."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        left = os.fstat(self._file.fileno()).st_size - self._file.tell()
        content = self._file.read(length) if length <= left else b""
        return content if len(content) == length and zlib.crc32(content) == check else None


def _encoded(batch: Batch) -> bytes:
    facts = {
        "first": batch.first,
        "count": batch.count,
        "shape": batch.probabilities.shape,
        "skipped": batch.skipped,
        "seconds": batch.seconds,
    }
    arrays = (
        batch.indices.astype("<i8"),
        batch.labels.astype("<i8"),
        batch.probabilities.astype("<f4"),
    )
    return json.dumps(facts).encode() + b"\n" + b"".join(array.tobytes() for array in arrays)


def _decoded(content: bytes) -> Batch:
    line, _, data = content.partition(b"\n")
    facts = json.loads(line)
    images, classes = facts["shape"]
    indices = np.frombuffer(data, "<i8", images)
    labels = np.frombuffer(data, "<i8", images, 8 * images)
    probabilities = np.frombuffer(data, "<f4", images * classes, 16 * images)
    return Batch(
        facts["first"],
        facts["count"],
        indices.astype(np.int64),
        labels.astype(np.int64),
        probabilities.reshape(images, classes).astype(np.float32),
        [(index, reason) for index, reason in facts["skipped"]],
        facts["seconds"],
    )
