"""What Linux and macOS have in common."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import IO, Any

AWAY_FROM_CTRL_C: dict[str, Any] = {"start_new_session": True}
# The path of a socket in it has at most 107 characters.
SHORT_FOLDER: str | None = "/tmp"
SHARES_SSH = True
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def process_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return memory_bytes() if limit == resource.RLIM_INFINITY else min(limit, memory_bytes())


def load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


@contextmanager
def starting_deaf() -> Iterator[None]:
    # A process inherits what is blocked. If it were ignored, that of this process would be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hold(process: Popen[Any]) -> None:
    process.send_signal(signal.SIGSTOP)


def release(process: Popen[Any]) -> None:
    process.send_signal(signal.SIGCONT)


def lock(file: IO[bytes]) -> None:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def forbid_core_file() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def expanded(words: list[str]) -> list[str]:
    # Shells do that here.
    return words


def use_console() -> None:
    """Terminals here always do."""


def is_closed_pipe(error: OSError) -> bool:
    return isinstance(error, BrokenPipeError)
