"""Where pictures come from, divided into units of work that any process can do by itself."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading import tar
from sbn_deploy.reading.npz import Archive
from sbn_deploy.reading.parquet import ParquetFile
from sbn_runtime.errors import ConfigError, InputError

ROWS = 1024
"""Pictures in a unit, about: what a killed run loses at most in each process."""
BATCH = 256
"""Pictures that are read at once."""
PARQUET, TAR, NPZ = ".parquet", ".tar", ".npz"
SHARDS = (PARQUET, TAR, NPZ)


class Batch(NamedTuple):
    """Some pictures, and where they are: sequences of one length.

    Attributes:
        files: the file that each is in.
        rows: the number of each in its file.
        names: what the file calls each, such as the member of an archive, or None.
        pictures: a column as `BatchClassifier` takes it.
    """

    files: Sequence[str]
    rows: Sequence[int]
    names: Sequence[str | None]
    pictures: Sequence[Any] | NDArray[np.uint8]


class Unit(Protocol):
    """Pictures that are classified together, in a fixed order.

    Attributes:
        count: how many.
        title: of the file that they are in, for messages.
    """

    @property
    def count(self) -> int: ...

    @property
    def title(self) -> str: ...

    def batches(self) -> Iterator[Batch]:
        """The pictures. Raises ConfigError where the file as a whole is damaged."""

    def state(self) -> dict[str, Any]:
        """What other pictures would have otherwise, JSON-able."""


@dataclass(frozen=True)
class Pictures:
    """Image files."""

    files: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.files)

    @property
    def title(self) -> str:
        return self.files[0]

    def batches(self) -> Iterator[Batch]:
        count = len(self.files)
        yield Batch(self.files, [0] * count, [None] * count, [Path(file) for file in self.files])

    def state(self) -> dict[str, Any]:
        return {"files": [(file, facts(file)) for file in self.files]}


@dataclass(frozen=True)
class _OfFile:
    """Some pictures of one file.

    Attributes:
        row: the number of the first one in the file.
    """

    file: str
    row: int
    count: int

    @property
    def title(self) -> str:
        return self.file

    def _batch(self, row: int, names: Sequence[str | None], pictures: Any) -> Batch:
        """Of pictures from `row` on."""
        count = len(names)
        return Batch([self.file] * count, range(row, row + count), names, pictures)

    def state(self) -> dict[str, Any]:
        return {"kind": type(self).__name__, **asdict(self), "facts": facts(self.file)}


@dataclass(frozen=True)
class Groups(_OfFile):
    """Row groups of a parquet file, from `first` to before `end`."""

    first: int
    end: int

    def batches(self) -> Iterator[Batch]:
        row = self.row
        with ParquetFile(Path(self.file)) as file:
            for group in range(self.first, self.end):
                for contents, names in file.named_images(group):
                    yield self._batch(row, names, contents)
                    row += len(contents)


@dataclass(frozen=True)
class Members(_OfFile):
    """Images in a tar archive, from the one whose header is at `offset`."""

    offset: int
    suffixes: tuple[str, ...]

    def batches(self) -> Iterator[Batch]:
        path, row = Path(self.file), self.row
        members = islice(_images_of(path, self.suffixes, self.offset), self.count)
        pictures = ((member.name, tar.content(path, member, file)) for member, file in members)
        while batch := [*islice(pictures, BATCH)]:
            contents = [content for _, content in batch]
            yield self._batch(row, [name for name, _ in batch], contents)
            row += len(batch)


@dataclass(frozen=True)
class Pixels(_OfFile):
    """Images of an array in a NumPy archive, uint8 [N, H, W] or [N, H, W, C]."""

    array: str
    shape: tuple[int, ...]

    def batches(self) -> Iterator[Batch]:
        end = self.row + self.count
        spans = [range(row, min(row + BATCH, end)) for row in range(self.row, end, BATCH)]
        with Archive(Path(self.file)) as archive:
            if self.row == 0:
                # Once for all parts; a compressed array is checked as it is read.
                archive.check(self.array)
            blocks = archive.blocks(self.array, spans, leap=True)
            for span, pixels in zip(spans, blocks, strict=True):
                names = [None] * len(span)
                yield self._batch(span.start, names, pixels.reshape(-1, *self.shape))


def units(given: Sequence[Path], suffixes: Sequence[str], skip: Sequence[Path]) -> Iterator[Unit]:
    """The pictures of files, folders and patterns, in a fixed order, a unit at a time.

    Folders are read with all in them, in the order of names; what begins with a dot is left out.

    Args:
        suffixes: of the picture files that are read.
        skip: files and folders that are left out of folders and patterns.

    Raises:
        InputError: a file is missing, or of a kind that is not read.
        ConfigError: a parquet file, a tar or NumPy archive is damaged, or has no pictures.
    """
    left_out = frozenset(map(os.path.abspath, skip))
    pictures: list[str] = []
    for file in _files(given, (*suffixes, *SHARDS), left_out):
        suffix = _suffix(file)
        if suffix not in SHARDS:
            pictures.append(file)
        if pictures and (len(pictures) == ROWS or suffix in SHARDS):
            yield Pictures(tuple(pictures))
            pictures = []
        if suffix == PARQUET:
            yield from _groups(file)
        elif suffix == TAR:
            yield from _members(file, tuple(suffixes), facts(file))
        elif suffix == NPZ:
            yield from _pixels(file)
    if pictures:
        yield Pictures(tuple(pictures))


def _files(
    given: Sequence[Path], suffixes: Sequence[str], left_out: frozenset[str]
) -> Iterator[str]:
    for one in given:
        text = str(one)
        if one.is_dir():
            yield from _within(text, suffixes, left_out)
        elif one.exists():
            if _suffix(text) not in suffixes:
                raise InputError(
                    f"{text}: is not read with -o; give folders, {', '.join(SHARDS)} or pictures"
                    f" ({', '.join(suffixes[: -len(SHARDS)])})"
                )
            yield text
        elif glob.has_magic(text):
            found = sorted(glob.glob(text, recursive=True))
            wanted = [file for file in found if _suffix(file) in suffixes and os.path.isfile(file)]
            if not wanted:
                raise InputError(f"{text}: no file matches that is read")
            yield from (file for file in wanted if os.path.abspath(file) not in left_out)
        else:
            raise InputError(f"{text}: No such file or directory")


def _within(folder: str, suffixes: Sequence[str], left_out: frozenset[str]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    names = {os.path.basename(path) for path in left_out}
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if name.startswith(".") or (name in names and os.path.abspath(path) in left_out):
            continue
        if is_folder:
            yield from _within(path, suffixes, left_out)
        elif _suffix(name) in suffixes:
            yield path


def _groups(path: str) -> Iterator[Unit]:
    with ParquetFile(Path(path)) as file:
        if file.image_column is None:
            raise ConfigError(
                f"{path} has columns {', '.join(file.columns)}; it needs one with encoded images,"
                " a struct with `bytes`"
            )
        counts = file.groups
    first = row = 0
    while first < len(counts):
        end, count = first + 1, counts[first]
        while end < len(counts) and count + counts[end] <= ROWS:
            count += counts[end]
            end += 1
        if count:
            yield Groups(path, row, count, first, end)
        first, row = end, row + count


@cache
def _members(path: str, suffixes: tuple[str, ...], _: tuple[int, int] | None) -> tuple[Unit, ...]:
    """Kept: to find them, all headers of the archive are read."""
    found: list[Unit] = []
    offsets = (member.offset for member, _ in _images_of(Path(path), suffixes))
    row = 0
    for offset in offsets:
        count = 1 + sum(1 for _ in islice(offsets, ROWS - 1))
        found.append(Members(path, row, count, offset, suffixes))
        row += count
    return tuple(found)


def _images_of(path: Path, suffixes: Sequence[str], offset: int = 0) -> Iterator[Any]:
    for member, file in tar.members(path, offset):
        hidden = os.path.basename(member.name).startswith(".")
        if not hidden and _suffix(member.name) in suffixes:
            yield member, file


def _pixels(path: str) -> Iterator[Unit]:
    with Archive(Path(path)) as archive:
        headers = {name: archive.header(name) for name in archive}
        found = [
            name
            for name, header in headers.items()
            if header.dtype == np.uint8 and len(header.shape) in (3, 4)
        ]
        if len(found) != 1:
            raise ConfigError(
                f"{path} has {len(found)} arrays of pictures"
                f"{''.join(f' {name!r}' for name in found)}; give an archive with one, uint8"
                " [N, H, W] or [N, H, W, C]"
            )
        header = headers[found[0]]
        if header.in_fortran_order:
            raise ConfigError(f"{path}: {found[0]} is in Fortran's order; write it in C's")
        # A compressed array can be read from its beginning only.
        step = max(1, header.shape[0]) if archive.compressed(found[0]) else ROWS
    for row in range(0, header.shape[0], step):
        count = min(step, header.shape[0] - row)
        yield Pixels(path, row, count, found[0], header.shape[1:])


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def facts(file: str) -> tuple[int, int] | None:
    """Size and time of change; None of a file that is not there any more."""
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
