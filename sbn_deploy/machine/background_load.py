"""Background load during measurements, from the counters of /proc/stat."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from sbn_deploy.machine.cpu_state import read_text

# Of the times of a core in /proc/stat: all that are spent on programs or interrupts, and the
# time for which the host of a virtual machine let the core wait.
BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
STOLEN = 7


@dataclass(frozen=True)
class Look:
    """A moment; in seconds, what the clock says, and the time of the cores and of this process."""

    clock: float
    busy: float
    stolen: float
    own: float


class BackgroundLoad:
    """Counts the time that other programs, and other virtual machines, had the cores.

    Args:
        cores: their numbers; all that this process and its engines may use.
        root: where /proc is.
        clock: seconds that pass.
    """

    def __init__(
        self,
        cores: Collection[int],
        root: Path = Path("/"),
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.cores = cores
        self._root, self._clock = root, clock
        self._seconds = self._others = self._stolen = 0.0

    def look(self) -> Look | None:
        """How it is now; None where the system does not tell."""
        times = []
        for line in (read_text(self._root / "proc/stat") or "").splitlines():
            name, *numbers = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in self.cores:
                # Old kernels tell less.
                times.append([int(number) for number in numbers] + [0] * (STOLEN + 1))
        if not times:
            return None
        tick = os.sysconf("SC_CLK_TCK")
        busy = sum(core[index] for core in times for index in BUSY) / tick
        stolen = sum(core[STOLEN] for core in times) / tick
        return Look(self._clock(), busy, stolen, process_time())

    def count(self, before: Look | None, engines_s: float) -> None:
        """Adds the time since `before`, in which our engines took `engines_s` of the cores."""
        now = self.look()
        if before is None or now is None:
            return
        self._seconds += now.clock - before.clock
        self._others += now.busy - before.busy - (now.own - before.own) - engines_s
        self._stolen += now.stolen - before.stolen

    @property
    def busy_cores(self) -> float | None:
        """How many cores other programs used, on average; None if unknown."""
        return max(0.0, self._others / self._seconds) if self._seconds else None

    @property
    def stolen_cores(self) -> float | None:
        """How many cores the host withheld, on average; None if unknown."""
        return self._stolen / self._seconds if self._seconds else None
