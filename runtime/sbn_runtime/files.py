"""Writes files atomically."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import OutputError


def check_writable(folder: Path) -> None:
    """Creates the folder if needed and checks that files can be written there, before long work.
    Raises OutputError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a temporary file beside `path`, then renames it. Raises OutputError."""
    with written_atomically(path) as file:
        file.write(data)


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside `path`, which it becomes once it is written. Raises OutputError."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def _unwritable(path: Path, error: OSError) -> OutputError:
    if error.errno == errno.ENOSPC:
        remedy = "free some, or choose another folder"
    else:
        # Windows does not let a file be replaced that a program has open.
        held = "close what has it open, or " if path.is_file() else ""
        remedy = f"{held}choose a writable folder"
    return OutputError(f"cannot write {path}: {error.strerror or error}; {remedy}")
