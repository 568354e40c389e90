"""Progress on standard error: a bar where rich and a terminal are there, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str], None]
"""Call once per finished unit of work with a short status."""

PLAIN_LINES = 10


@contextmanager
def progress(title: str, total: int, *, first: int = 0, quiet: float = 0) -> Iterator[Report]:
    """Show how far `total` units of work have come, `first` of them before now.

    quiet: seconds from the start in which no lines are printed.
    """
    if sys.stderr.isatty():
        try:
            import rich.console
            import rich.progress
        except ImportError:
            yield _plain(title, total, first, quiet)
            return
        with rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[status]}"),
            console=rich.console.Console(stderr=True),
        ) as bar:
            task = bar.add_task(title, total=total, completed=first, status="")
            yield lambda status: bar.update(task, advance=1, status=status)
    else:
        yield _plain(title, total, first, quiet)


def _plain(title: str, total: int, first: int, quiet: float) -> Report:
    start = time.monotonic()
    done = first

    def report(status: str) -> None:
        nonlocal done
        done += 1
        if done * PLAIN_LINES // total > (done - 1) * PLAIN_LINES // total:
            seconds = time.monotonic() - start
            if seconds < quiet:
                return
            left = seconds / (done - first) * (total - done)
            print(
                f"{title} {done}/{total} {seconds:.0f}s left {left:.0f}s {status}",
                file=sys.stderr,
                flush=True,
            )

    return report
