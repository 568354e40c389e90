"""Arrays in the .npy format. A damaged one may raise anything, see `parsing`."""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sbn_deploy.reading.parsing import check_memory, parsing
from sbn_runtime.errors import InputError

LONGEST_HEADER = 10_000
"""Bytes, as NumPy has it: parsing a longer one takes long."""
KINDS = "biufcmMSU"
"""Of numbers, times and text; others are objects and records."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Header:
    """What the header of an array claims. All sides are 0 or more, no element is empty."""

    shape: tuple[int, ...]
    in_fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read(path: Path) -> NDArray[Any]:
    """The array of a .npy file. Raises InputError."""
    remedy = "write it with numpy.save, one array in a file"
    with (
        parsing(InputError, path, "is damaged or not a .npy array", remedy),
        path.open("rb") as file,
    ):
        return read_array(file, os.fstat(file.fileno()).st_size)


def read_header(file: IO[bytes], size: int) -> Header:
    """The header of an array of `size` bytes in all; the file is then where the numbers begin."""
    start = file.read(8)
    width = 2 if start[6:7] == b"\1" else 4
    start += file.read(width)
    length = int.from_bytes(start[8:], "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length:,} bytes, more than {LONGEST_HEADER:,}")
    text = io.BytesIO(start + file.read(length))
    version = npy.read_magic(text)  # type: ignore[no-untyped-call]
    parse: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 2, and of escapes in texts
        header = Header(*parse(text))
    if header.dtype.kind not in KINDS or not header.dtype.itemsize:
        raise ValueError(f"it holds {header.dtype}, not numbers or text")
    if any(side < 0 for side in header.shape):
        raise ValueError(f"its shape is {list(header.shape)}")
    if header.nbytes != size - text.tell():
        raise ValueError(
            f"its header asks for {header.nbytes:,} bytes, but it has {size - text.tell():,}"
        )
    return header


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array in a file of `size` bytes."""
    header = read_header(file, size)
    check_memory(header.nbytes)
    data = np.empty(header.nbytes, np.uint8)
    for start in range(0, len(data), CHUNK):
        piece = data[start : start + CHUNK]
        read = file.read(len(piece))
        if len(read) < len(piece):
            raise ValueError(f"it ends after {start + len(read):,} of {len(data):,} bytes")
        piece[:] = np.frombuffer(read, np.uint8)
    array = data.view(header.dtype)
    if header.in_fortran_order:
        return array.reshape(header.shape[::-1]).transpose()
    return array.reshape(header.shape)
