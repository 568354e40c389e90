"""Tar archives, member by member, without a list of them in memory."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sbn_deploy.reading.parsing import parsing
from sbn_runtime.errors import ConfigError


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: with its folders.
        offset: of its first header, where `members` may begin again.
        start, size: of its content, in bytes.
    """

    name: str
    offset: int
    start: int
    size: int


def members(path: Path, offset: int = 0) -> Iterator[tuple[Member, IO[bytes]]]:
    """The plain files of an archive in their order, and the archive to read their content from.

    Raises ConfigError where it cannot be opened, is compressed or damaged, or ends too early.
    """
    with reading(path) as file:
        with _parsing(path):
            file.seek(offset)
            archive = tarfile.TarFile(fileobj=file)
        while True:
            with _parsing(path):
                found = archive.next()
                if found is None:
                    _check_end(file, archive.offset)
                    return
            # Else it would keep all of them.
            archive.members.clear()  # type: ignore[attr-defined]
            if found.isreg() and not found.issparse():
                yield Member(found.name, found.offset, found.offset_data, found.size), file


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """An archive to read `content` from. Raises ConfigError where it cannot be opened."""
    with _parsing(path):
        file = path.open("rb")
    with file:
        yield file


def content(path: Path, member: Member, file: IO[bytes]) -> bytes:
    """What is in a file of an archive. Raises ConfigError."""
    with _parsing(path):
        file.seek(member.start)
        data = file.read(member.size)
        if len(data) < member.size:
            raise ValueError(f"it ends within {member.name}")
        return data


def _check_end(file: IO[bytes], offset: int) -> None:
    """Raises ValueError unless the mark of the end is there: tarfile stops at a bad header, too."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise ValueError(f"it ends at byte {offset + len(block):,}, without the mark of the end")
    if any(block):
        raise ValueError(f"the header at byte {offset:,} is damaged")


def _parsing(path: Path) -> AbstractContextManager[None]:
    return parsing(
        ConfigError, path, "is damaged or not an uncompressed tar archive", "write it again"
    )
