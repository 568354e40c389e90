"""Files on their way to a device: in pieces, each of which the device acknowledges.

Only one piece is on its way at a time, of about a second of what the link bears. So a slow link
still carries the signs of life between them, and what has arrived is known.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sbn_deploy.system import host

from .connection import Ended, awaited, check_not_halted, start

_FIRST, _LEAST, _MOST = 1 << 13, 1 << 10, 1 << 24
# How long a piece should take.
_QUICK_S, _SLOW_S = 0.5, 2.0

# Runs on the device: writes the pieces that come in to the file that is named. Each is a line
# with its size and as many bytes; the last one has none.
RECEIVE = """\
import os, sys
path, pieces = sys.argv[1], sys.stdin.buffer
print("\\nsbn-receiving", flush=True)
try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb", 0) as file:
        while size := int(pieces.readline()):
            piece = pieces.read(size)
            while piece:
                piece = piece[file.write(piece):]
            print("sbn-received", flush=True)
except OSError as error:
    sys.exit(f"{error.strerror}: {path}")
print("sbn-complete", flush=True)
"""


@contextmanager
def _unless_closed() -> Iterator[None]:
    """Ends quietly where the other end of a pipe is closed; what that means, its status says."""
    try:
        yield
    except OSError as error:
        if not host.is_closed_pipe(error):
            raise


def send(command: list[str], path: Path, progress: Callable[[int], None]) -> Ended:
    """Sends a file to `RECEIVE`, which `command` starts on the device.

    Args:
        progress: is called with the number of bytes that arrived.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = start(command, stdin=subprocess.PIPE, stderr=errors)
        assert isinstance(process.stdin, io.TextIOWrapper)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            with awaited(process):
                arrived = any(line == "sbn-receiving\n" for line in lines)
                with path.open("rb") as file, _unless_closed():
                    size = _FIRST
                    while arrived:
                        check_not_halted()
                        piece = file.read(size)
                        begin = time.monotonic()
                        process.stdin.buffer.write(b"%d\n" % len(piece) + piece)
                        process.stdin.flush()
                        arrived = bool(piece) and next(lines, "") == "sbn-received\n"
                        seconds = time.monotonic() - begin
                        if arrived:
                            progress(len(piece))
                        if seconds < _QUICK_S:
                            size = min(2 * size, _MOST)
                        elif seconds > _SLOW_S:
                            size = max(size // 2, _LEAST)
                complete = next(lines, "") == "sbn-complete\n"
                with _unless_closed():
                    process.stdin.close()
                status = process.wait()
        finally:
            process.stdout.close()
            with suppress(OSError):
                process.stdin.close()
        errors.seek(0)
        said = [line.strip() for line in errors]
    if status == 0 and not complete:
        said.append("it does not confirm that everything arrived")
        status = 1
    return Ended(status, "", said)
