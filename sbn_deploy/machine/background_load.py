"""Background load during measurements, from the times that the system counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, dataclass
from math import isnan
from time import perf_counter, process_time

from sbn_deploy.system import host
from sbn_deploy.system.core_time import CoreTime


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
        times: what the cores have done.
        clock: seconds that pass.
    """

    def __init__(
        self,
        cores: Collection[int],
        times: Callable[[], Mapping[int, CoreTime]] = host.core_times,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.cores = cores
        self._times, self._clock = times, clock
        self._seconds = self._others = self._stolen = 0.0

    def look(self) -> Look | None:
        """How it is now; None where the system does not tell."""
        times = [time for core, time in self._times().items() if core in self.cores]
        if not times:
            return None
        busy, stolen = (sum(kind) for kind in zip(*map(astuple, times), strict=True))
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
        known = self._seconds and not isnan(self._stolen)
        return self._stolen / self._seconds if known else None
