"""The energy that the processor takes, by the counters of Linux's powercap (RAPL).

x86 processors count it; the files are root's to read, and most virtual machines have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sbn_deploy.system.kernel_files import read_text

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """The counters of all processor packages.

    A package's cores, caches and memory controller count, whoever uses them.
    """

    counters: Sequence[tuple[Path, int]]
    """Each file with microjoules, and the largest number before it starts again at 0."""

    def read(self) -> tuple[int, ...] | None:
        """What the counters show, in microjoules; None if one cannot be read any more."""
        try:
            return tuple(int(path.read_text(encoding="ascii")) for path, _ in self.counters)
        except (OSError, ValueError):
            return None

    def since(self, before: Sequence[int]) -> float | None:
        """Joules since `before`, if no counter went round more than once."""
        now = self.read()
        if now is None:
            return None
        spent = (
            late - early if late >= early else late - early + most + 1
            for early, late, (_, most) in zip(before, now, self.counters, strict=True)
        )
        return sum(spent) / 1e6


def find_meter(powercap: Path = POWERCAP) -> Meter | None:
    """The meter of this machine, or None: it has none, or none that this user may read."""
    counters = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        # A package's parts, as intel-rapl:0:1, are counted with it; so is it with "psys".
        name = read_text(folder / "name")
        if folder.name.count(":") == 1 and name is not None and name.startswith("package"):
            most = read_text(folder / "max_energy_range_uj")
            counters.append((folder / "energy_uj", int(most) if most else 0))
    meter = Meter(counters)
    return meter if counters and meter.read() else None
