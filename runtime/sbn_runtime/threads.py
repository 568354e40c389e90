"""How many threads may share the work of a call."""

from __future__ import annotations

import os

from .errors import InputError

MOST_THREADS = max(256, 4 * (os.cpu_count() or 1))
"""More only cost time: onnxruntime starts all of them, and they wait for each other."""


def check_threads(threads: int) -> int:
    """The number itself. Raises InputError unless it is 1 to `MOST_THREADS`."""
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads must be 1 to {MOST_THREADS}, not {threads}")
    return threads
