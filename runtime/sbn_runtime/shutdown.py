"""Shutdown of programs while other threads compute.

Python ends a daemon thread that comes back from C++ once the interpreter is going down, and the
C++ of onnxruntime's bindings answers with `std::terminate`: the process aborts. So the end of a
program waits for the calls under way and lets no other thread begin one.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 30
"""How long the end of a program waits at most. A call that takes longer can abort it."""

_running: set[int] = set()
_ending = False
T = TypeVar("T")


def call(function: Callable[..., T], *arguments: object, **named: object) -> T:
    """Calls into onnxruntime; where the program ends, the thread stays here for good."""
    thread = threading.get_ident()
    # In this order: the end says that it comes before it looks at the calls.
    _running.add(thread)
    try:
        if _ending and threading.current_thread() is not threading.main_thread():
            _running.discard(thread)
            threading.Event().wait()
        return function(*arguments, **named)
    finally:
        _running.discard(thread)


@atexit.register
def _wait_for_calls() -> None:
    global _ending
    _ending = True
    patience = time.monotonic() + WAIT_S
    while _running and time.monotonic() < patience:
        time.sleep(0.001)


if hasattr(os, "register_at_fork"):
    # The threads of a parent are not in its child.
    os.register_at_fork(after_in_child=_running.clear)
