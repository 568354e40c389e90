"""Units of pictures, classified in processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from sbn_deploy.many import part
from sbn_deploy.many.run import Finished
from sbn_deploy.many.sources import Unit
from sbn_deploy.system import host
from sbn_runtime import BatchClassifier
from sbn_runtime.errors import ConfigError, SbnError

_classifier: BatchClassifier | None = None


def in_processes(
    classifier: BatchClassifier, processes: int, units: Iterable[tuple[Path, Unit]]
) -> Finished:
    """Classifies in so many processes, of which a single one is this one; see `run.Workers`.

    Raises SbnError where one ends unexpectedly.
    """
    if processes == 1:
        for path, unit in units:
            yield path, _answers(classifier, unit)
        return
    running: dict[Future[bytes | ConfigError], Path] = {}

    def finished(at_most: int) -> Finished:
        """Waits until no more than `at_most` units are running."""
        while len(running) > at_most:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()

    with _pool(classifier, processes) as pool:
        for path, unit in units:
            with host.starting_deaf():
                running[pool.submit(_answers_there, unit)] = path
            # One more for each waits, so that none of them has to.
            yield from finished(2 * processes - 1)
        yield from finished(0)


def _answers(classifier: BatchClassifier, unit: Unit) -> bytes | ConfigError:
    try:
        return part.answers(classifier, unit)
    except ConfigError as error:
        return error


def _answers_there(unit: Unit) -> bytes | ConfigError:
    """In a process of its own."""
    assert _classifier is not None
    return _answers(_classifier, unit)


def _start(classifier: BatchClassifier) -> None:
    """Prepares a process: it leaves Ctrl-C to the one that started it, and ends with that."""
    global _classifier
    _classifier = classifier
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _pool(classifier: BatchClassifier, processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end at once when something goes wrong, such as Ctrl-C."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start, (classifier,)
    )
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise SbnError(
                "a process that classified ended unexpectedly, perhaps for want of memory; run the"
                " same command again, with fewer --processes"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)
