"""Calls of a model that a phone is to make: the file of them, and the outputs that come back.

runtime/phone/session.h says how the file is laid out. The outputs are bare: their types and
shapes are those of the same calls here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import RemoteError
from sbn_runtime.engines import Engine
from sbn_runtime.feeds import Feeds, TensorInfo

Outputs = list[NDArray[Any]]

_MAGIC = b"sbncalls"
_WORD, _ALIGNMENT = 8, 64
# Of the largest value of an output: what another processor's e^x may differ by.
_TOLERANCE = 1e-5


def write_calls(path: Path, calls: Sequence[Feeds]) -> None:
    """Writes what `calls` give, each of a batch of the same images or rows in all its arrays."""
    with path.open("wb") as file:
        size = file.write(_MAGIC + struct.pack("<q", len(calls)))
        for feeds in calls:
            batch = max((len(x) for x in feeds.values() if x.ndim), default=1)
            size += file.write(struct.pack("<2q", batch, len(feeds)))
            for name, x in feeds.items():
                key = name.encode()
                head = struct.pack("<q", len(key)) + key + bytes(-len(key) % _WORD)
                size += file.write(head + struct.pack("<q", x.nbytes))
                size += file.write(bytes(-size % _ALIGNMENT))
                size += file.write(x.astype(x.dtype.newbyteorder("<"), order="C").tobytes())
                size += file.write(bytes(-size % _WORD))


def read_outputs(path: Path, like: Iterable[Outputs]) -> list[Outputs]:
    """The outputs of each call, of the types and shapes of `like`.

    Raises ValueError where the file has more or fewer bytes.
    """
    data, at, found = path.read_bytes(), 0, []
    for outputs in like:
        read: Outputs = []
        for x in outputs:
            part = np.frombuffer(data, x.dtype.newbyteorder("<"), x.size, at)
            read.append(part.astype(x.dtype).reshape(x.shape))
            at += x.nbytes
        found.append(read)
    if at != len(data):
        raise ValueError(f"{len(data)} bytes instead of {at}")
    return found


def check_outputs(
    phone: str, outputs: Sequence[TensorInfo], here: Iterable[Outputs], there: Iterable[Outputs]
) -> None:
    """Compares what a phone computed with what this machine did for the same calls.

    Whole numbers and packed signs must be the same bits, floats equal within 1e-5 of the largest of
    their output. Raises RemoteError.
    """
    for ours, theirs in zip(here, there, strict=True):
        for info, x, y in zip(outputs, ours, theirs, strict=True):
            if x.dtype.kind != "f":
                difference = int((x != y).sum())
                said = f"{difference:,} of its {x.size:,} values differ" if difference else ""
            else:
                said = _differing(x, y)
            if said:
                raise RemoteError(
                    f"{phone}: computes something else than this machine: output {info.name!r}:"
                    f" {said}; its times are meaningless; please report this"
                )


def _differing(x: NDArray[Any], y: NDArray[Any]) -> str:
    """By how much floats differ, if too much."""
    # What is infinite or NaN has to be so in both.
    finite = np.isfinite(x)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return "other values are not finite"
    largest = float(np.abs(x[finite]).max(initial=0))
    off = float(np.abs(x[finite].astype(np.float64) - y[finite]).max(initial=0))
    if off <= _TOLERANCE * largest:
        return ""
    return f"off by up to {off:.3g}, its largest value is {largest:.3g}"


class Recording:
    """An engine that answers as `engine` does, and keeps all calls and their outputs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._names = [info.name for info in engine.outputs]
        self.calls: list[Feeds] = []
        self.answers: list[Outputs] = []
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.controls, self.metadata = engine.controls, engine.metadata

    def run(self, names: Sequence[str], feeds: Feeds) -> Outputs:
        """Raises as `Engine.run`."""
        outputs = self._engine.run(self._names, feeds)
        self.calls.append(feeds)
        self.answers.append(outputs)
        return [outputs[self._names.index(name)] for name in names]


class Replaying:
    """An engine that answers the same calls in the same order with outputs from elsewhere."""

    def __init__(self, engine: Engine, answers: Iterable[Outputs]) -> None:
        self._names = [info.name for info in engine.outputs]
        self._answers = iter(answers)
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.controls, self.metadata = engine.controls, engine.metadata

    def run(self, names: Sequence[str], _: Feeds) -> Outputs:
        """The next outputs."""
        outputs = next(self._answers)
        return [outputs[self._names.index(name)] for name in names]
