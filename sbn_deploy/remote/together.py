"""Several devices at the same time: a thread waits for each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import TypeVar

from sbn_deploy.system import host
from sbn_runtime import SbnError

from . import connection

T = TypeVar("T")
# Not every system wakes a thread for Ctrl-C that waits without an end.
LOOK_S = 1.0


def at_once(jobs: Mapping[str, Callable[[], T]], done: Callable[[str, T | SbnError], None]) -> None:
    """Does jobs that wait for devices, each with connections of its own, at the same time.

    One that fails leaves the others alone. Ctrl-C, or another signal that asks to end, closes all
    connections, after which the devices have removed what was there, and ends this too.

    Args:
        jobs: by the device's name.
        done: is called in this thread as each job ends, with what it returned or the SbnError that
            it raised. What `done` itself raises ends everything.

    Raises anything else that a job raises.
    """
    try:
        with _signals_raise(), ThreadPoolExecutor(len(jobs)) as pool:
            names = {pool.submit(job): name for name, job in jobs.items()}
            pending = set(names)
            try:
                while pending:
                    ended, pending = wait(pending, LOOK_S, FIRST_COMPLETED)
                    for future in ended:
                        error = future.exception()
                        if error is None:
                            done(names[future], future.result())
                        elif isinstance(error, SbnError):
                            done(names[future], error)
                        else:
                            raise error
            except BaseException:
                connection.halt()
                raise
    finally:
        connection.resume()


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Lets signals that ask to end do so as Ctrl-C does, by an exception.

    Only in the main thread, which alone may; one that is ignored, as by nohup, still is.
    """

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {}
    if current_thread() is main_thread():
        for number in host.ENDING_SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
