"""Was the machine steady while it measured?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.benchmark import Timing, measure
from sbn_deploy.measure.cpu_state import CpuState, read_state
from sbn_deploy.measure.engines import Engine

BUSY_S = 0.5
FREQUENCY_DROP = 0.05
SPREAD = 0.10
DRIFT = 0.05
HOT_C = 80.0
LOAD = 0.5

RULE_WITHOUT_LOAD = (
    f"unstable if the frequency of the cores in use fell by more than {FREQUENCY_DROP:.0%}, the"
    " CPU was throttled or short of voltage, it ended at or above the temperature where the"
    f" system slows it down ({HOT_C:.0f} °C where none is stated), an engine's spread (half the"
    f" interquartile range) is above {SPREAD:.0%} of its median, the median of its last quarter of"
    f" calls is more than {DRIFT:.0%} above that of the first"
)
RULE = (
    f"{RULE_WITHOUT_LOAD}, or the load average before, together with the threads, exceeds the cores"
    f" by more than {LOAD}"
)


@dataclass(frozen=True)
class Watched:
    """Timings with the state of the CPU right before and after, both while it was busy."""

    before: CpuState
    after: CpuState
    timings: list[Timing]


def measure_watched(
    engines: Sequence[Engine], x: NDArray[np.float32], *, runs: int, warmup: int
) -> Watched:
    """What `measure` does, with the state of the CPU.

    The first engine is run for half a second before: a governor that follows the work has
    raised the frequency by then.
    """
    _keep_busy(engines[0], engines[0].adapt(x))
    before = read_state()
    timings = measure(engines, x, runs=runs, warmup=warmup)
    return Watched(before, read_state(), timings)


def instability(watched: Watched, *, cores: int, threads: int, load: float | None) -> list[str]:
    """Why a measurement should not be trusted, by `RULE`; empty for a steady machine.

    Args:
        cores: that the process could use before it was pinned.
        threads: of the engines.
        load: the load average before anything was done for the measurement.
    """
    before, after = watched.before, watched.after
    reasons = []
    if before.mhz and after.mhz and after.mhz < before.mhz * (1 - FREQUENCY_DROP):
        reasons.append(f"the frequency fell from {before.mhz:.0f} to {after.mhz:.0f} MHz")
    occurred = set(after.throttled or ()) - {
        flag for flag in before.throttled or () if flag.endswith("occurred")
    }
    if occurred:
        reasons.append(f"the board reports: {', '.join(sorted(occurred))}")
    if (after.throttle_count or 0) > (before.throttle_count or 0):
        reasons.append("the CPU was throttled")
    if after.temperature_c and after.temperature_c >= (after.limit_c or HOT_C):
        reasons.append(f"the CPU is at {after.temperature_c:.0f} °C")
    for timing in watched.timings:
        if timing.spread > SPREAD:
            reasons.append(f"the times of {timing.engine} spread by {timing.spread:.0%}")
        if timing.drift > DRIFT:
            reasons.append(f"{timing.engine} became {timing.drift:.0%} slower meanwhile")
    if load is not None and load + threads > cores + LOAD:
        reasons.append(
            f"other programs were at work: load average {load:.2f}, {threads} of our threads,"
            f" {cores} cores"
        )
    return reasons


def _keep_busy(engine: Engine, x: NDArray[Any]) -> None:
    end = perf_counter() + BUSY_S
    while perf_counter() < end:
        engine.run(x)
