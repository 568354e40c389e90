"""NumPy archives, whose arrays are read when they are asked for."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading import npy
from sbn_deploy.reading.parsing import parsing
from sbn_runtime.errors import ConfigError

SUFFIX = ".npy"
CHUNK = 1 << 20
ENCRYPTED = 1
LOCAL_HEADER = struct.Struct("<26xHH")
"""Before each member; the two numbers are the bytes of its name and of extra fields."""
MOST_DEFLATED = 1032
"""The largest expansion by deflate; a member that claims more is invalid."""


class Archive(Mapping[str, NDArray[Any]]):
    """The arrays of an archive by name, as a context manager.

    Raises ConfigError here and wherever an array is damaged, encrypted, compressed as
    `numpy.savez` does not, pickled, or of another size than its header claims.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._parsing():
            with path.open("rb") as file:
                if file.read(6) == b"\x93NUMPY":
                    raise ValueError("it is a single array")
            self._size = path.stat().st_size
            self._zip = zipfile.ZipFile(path)
            names = [name for name in self._zip.namelist() if name.endswith(SUFFIX)]
        self._names = [name.removesuffix(SUFFIX) for name in dict.fromkeys(names)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise KeyError(name)
        with self._parsing(name):
            info = self._member(name)
            with self._zip.open(info) as file:
                return npy.read_array(file, info.file_size)

    def header(self, name: str) -> npy.Header:
        """What the header of an array claims."""
        with self._parsing(name):
            info = self._member(name)
            with self._zip.open(info) as file:
                return npy.read_header(file, info.file_size)

    def compressed(self, name: str) -> bool:
        """Whether an array must be read from its beginning."""
        with self._parsing(name):
            return self._member(name).compress_type != zipfile.ZIP_STORED

    def rows(self, name: str, wanted: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
        """Rows of rising indices of an array of bytes in C order, read from front to back."""
        for block in self.blocks(name, (range(index, index + 1) for index in wanted)):
            yield block[0]

    def blocks(
        self, name: str, wanted: Iterable[range], *, leap: bool = False
    ) -> Iterator[NDArray[np.uint8]]:
        """The same for rising ranges of rows, each uint8 [rows, bytes of a row].

        Args:
            leap: what is skipped is not read where the array is not compressed. Then its checksum
                is not compared: `check` does it.
        """
        with self._parsing(name):
            info = self._member(name)
            file: IO[bytes] = self._zip.open(info)
            header = npy.read_header(file, info.file_size)
            start = file.tell()
            if leap and info.compress_type == zipfile.ZIP_STORED:
                # Python's module reads what it skips, in versions below 3.13.
                start += _place(self.path, info)
                file.close()
                file = self.path.open("rb")
        size = header.nbytes // max(1, header.shape[0])
        with file:
            for rows in wanted:
                with self._parsing(name):
                    file.seek(start + rows.start * size)
                    data = file.read(len(rows) * size)
                    if len(data) < len(rows) * size:
                        raise ValueError(f"it ends before image {rows.stop - 1}")
                yield np.frombuffer(data, np.uint8).reshape(len(rows), size)

    def check(self, name: str) -> None:
        """Reads an array and compares its checksum."""
        with self._parsing(name), self._zip.open(self._member(name)) as file:
            while file.read(CHUNK):
                pass

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = self._zip.getinfo(name + SUFFIX)
        if info.flag_bits & ENCRYPTED:
            raise ValueError("it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its compression method is {info.compress_type}")
        ratio = MOST_DEFLATED if info.compress_type == zipfile.ZIP_DEFLATED else 1
        if info.compress_size > self._size or info.file_size > ratio * info.compress_size:
            raise ValueError(
                f"it claims {info.file_size:,} bytes in {info.compress_size:,} of a file of"
                f" {self._size:,}"
            )
        return info

    def _parsing(self, name: str = "") -> AbstractContextManager[None]:
        where = f"{self.path}: {name}" if name else str(self.path)
        remedy = "write the archive with numpy.savez"
        return parsing(ConfigError, where, "is damaged or not what numpy.savez writes", remedy)


def _place(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the content of a member begins that is stored as it is."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER.size)
    *_, name, extra = LOCAL_HEADER.unpack(header)
    return info.header_offset + LOCAL_HEADER.size + int(name) + int(extra)
