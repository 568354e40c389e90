"""The cores that engines keep to while they are measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def cores_for(threads: int) -> list[int]:
    """The cores for as many threads, or all that this process may use if they are too few.

    The last ones are taken: systems serve more interrupts on the first.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores[-threads:] if threads <= len(cores) else cores


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those it starts, on `cores_for(threads)`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores_for(threads))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
