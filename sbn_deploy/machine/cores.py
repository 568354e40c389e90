"""The cores that engines keep to while they are measured.

Where the system cannot pin a process (macOS), its scheduler chooses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def usable() -> list[int]:
    """The cores that this thread may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def keep_to(cores: Sequence[int]) -> None:
    """Keeps this thread, and those it starts, on these cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def cores_for(threads: int) -> list[int]:
    """The cores for as many threads, or all that this process may use if they are too few.

    The last ones are taken: systems serve more interrupts on the first.
    """
    cores = usable()
    return cores[-threads:] if threads <= len(cores) else cores


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those it starts, on `cores_for(threads)`."""
    before = usable()
    keep_to(cores_for(threads))
    try:
        yield
    finally:
        keep_to(before)
