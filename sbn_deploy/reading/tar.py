"""Tar archives, member by member, without a list of them in memory."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sbn_deploy.reading.parsing import parsing
from sbn_runtime.errors import ConfigError

POSIX, GNU = b"ustar\0", b"ustar "
OCTAL = re.compile(rb"([0-7]+)[\0 ]*")


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
        archive: tarfile.TarFile | None = None
        while True:
            with _parsing(path):
                file.seek(offset)
                member = _plain(file.read(tarfile.BLOCKSIZE), offset)
                if member is not None:
                    offset = _after(member)
                else:
                    if archive is None:
                        file.seek(offset)
                        archive = tarfile.TarFile(fileobj=file)
                    else:
                        archive.offset = offset
                    found = archive.next()
                    offset = archive.offset
                    if found is None:
                        _check_end(file, offset)
                        return
                    # Else it would keep all of them.
                    archive.members.clear()  # type: ignore[attr-defined]
                    if found.isreg() and not found.issparse():
                        member = Member(found.name, found.offset, found.offset_data, found.size)
            if member is not None:
                yield member, file


def _plain(header: bytes, offset: int) -> Member | None:
    """The file that a header describes, if it is one of the usual form.

    tarfile reads every other one, and takes five times as long. Both say the same.
    """
    if (
        len(header) < tarfile.BLOCKSIZE
        or header[156:157] != tarfile.REGTYPE
        or (magic := header[257:263]) not in (POSIX, GNU)
        or not (size := OCTAL.fullmatch(header, 124, 136))
        or not (checksum := OCTAL.match(header, 148, 156))
        or int(checksum[1], 8) != sum(header) - sum(header[148:156]) + 8 * ord(" ")
    ):
        return None
    name, _, _ = header[:100].partition(b"\0")
    prefix, _, _ = header[345:500].partition(b"\0")
    if prefix and magic == GNU:
        return None
    return Member(
        os.fsdecode(prefix + b"/" + name if prefix else name),
        offset,
        offset + tarfile.BLOCKSIZE,
        int(size[1], 8),
    )


def _after(member: Member) -> int:
    """Where the next header is."""
    blocks = -(-member.size // tarfile.BLOCKSIZE)
    return member.start + blocks * tarfile.BLOCKSIZE


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
        end = os.fstat(file.fileno()).st_size
        raise ValueError(f"it ends at byte {end:,}, without the mark of the end")
    if any(block):
        raise ValueError(f"the header at byte {offset:,} is damaged")


def _parsing(path: Path) -> AbstractContextManager[None]:
    return parsing(
        ConfigError, path, "is damaged or not an uncompressed tar archive", "write it again"
    )
