"""What else the cores did while engines were measured, by the counters of /proc/stat."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

from sbn_deploy.measure.cpu_state import read_text

# Of the times of a core in /proc/stat: all that are spent on programs or interrupts, and the
# time for which the host of a virtual machine let the core wait.
BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
STOLEN = 7


class Neighbours:
    """Counts the time that other programs, and other virtual machines, had the cores.

    Args:
        cores: their numbers; those that this process and its engines may use, all of them.
        root: where /proc is.
        clock: seconds that pass.
    """

    def __init__(
        self,
        cores: Collection[int],
        root: Path = Path("/"),
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._cores, self._root, self._clock = cores, root, clock
        self._seconds = self._others = self._stolen = 0.0

    @contextmanager
    def watched(self) -> Iterator[Callable[[float], None]]:
        """Counts while it lasts; call what it yields with the CPU seconds of our engines."""
        engines = 0.0

        def ours(seconds: float) -> None:
            nonlocal engines
            engines += seconds

        before, own, begin = self._times(), process_time(), self._clock()
        yield ours
        seconds, own, after = self._clock() - begin, process_time() - own, self._times()
        if before is not None and after is not None:
            self._seconds += seconds
            self._others += after[0] - before[0] - own - engines
            self._stolen += after[1] - before[1]

    @property
    def busy_cores(self) -> float | None:
        """How many cores other programs kept busy, on average; None where nobody tells."""
        return max(0.0, self._others / self._seconds) if self._seconds else None

    @property
    def stolen_cores(self) -> float | None:
        """How many cores the host withheld, on average; None where nobody tells."""
        return self._stolen / self._seconds if self._seconds else None

    def _times(self) -> tuple[float, float] | None:
        """Seconds for which the cores were busy, and for which they had to wait."""
        tick = os.sysconf("SC_CLK_TCK")
        busy = stolen = 0
        seen = 0
        for line in (read_text(self._root / "proc/stat") or "").splitlines():
            name, *numbers = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in self._cores:
                times = [int(number) for number in numbers] + [0] * len(BUSY)
                busy += sum(times[index] for index in BUSY)
                stolen += times[STOLEN]
                seen += 1
        return (busy / tick, stolen / tick) if seen else None
