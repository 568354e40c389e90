"""The cores that engines keep to while they are measured, where the system can pin a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sbn_deploy.system import host


def cores_for(threads: int) -> list[int]:
    """The cores for as many threads, or all that this process may use if they are too few.

    The last ones are taken: systems serve more interrupts on the first.
    """
    cores = host.usable_cores()
    return cores[-threads:] if threads <= len(cores) else cores


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those it starts, on `cores_for(threads)`."""
    before = host.usable_cores()
    host.keep_to(cores_for(threads))
    try:
        yield
    finally:
        host.keep_to(before)
