"""Was the machine steady during the measurement?"""

from __future__ import annotations

from collections.abc import Mapping

from sbn_deploy.machine.background_load import BackgroundLoad
from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.machine import CpuState

FREQUENCY_DROP = 0.05
SPREAD = 0.10
DRIFT = 0.05
HOT_C = 80.0
OTHERS = 0.10
STOLEN = 0.02

RULE_OF_CORE = (
    f"unstable if the frequency of the cores in use fell by more than {FREQUENCY_DROP:.0%}, the"
    " CPU was throttled or short of voltage, it ended at or above the temperature where the"
    f" system slows it down ({HOT_C:.0f} °C where none is stated), an engine's spread (half the"
    f" interquartile range) is above {SPREAD:.0%} of its median, the median of its last quarter of"
    f" calls is more than {DRIFT:.0%} above that of the first"
)
RULE = (
    f"{RULE_OF_CORE}, other programs kept more than {OTHERS:.0%} of the cores busy, or"
    f" the host of a virtual machine withheld more than {STOLEN:.0%} of a core"
)


def instability(
    before: CpuState,
    after: CpuState,
    timings: Mapping[str, Timing],
    *,
    background: BackgroundLoad | None,
) -> list[str]:
    """Why a measurement should not be trusted, by `RULE`; empty for a steady machine.

    Args:
        before, after: the state of the CPU right before and after, both while it was busy.
        timings: by what people call the engine.
        background: what else the cores did; None where that is not known.
    """
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
    for name, timing in timings.items():
        if timing.spread is not None and timing.spread > SPREAD:
            reasons.append(f"the times of {name} spread by {timing.spread:.0%}")
        if timing.drift is not None and timing.drift > DRIFT:
            reasons.append(f"{name} became {timing.drift:.0%} slower during the run")
    if background is not None:
        cores = len(background.cores)
        if (others := background.busy_cores or 0) > OTHERS * cores:
            reasons.append(f"other programs used {others:.1f} of {cores} cores")
        if (stolen := background.stolen_cores or 0) > STOLEN:
            reasons.append(f"the host of this virtual machine withheld {stolen:.0%} of a core")
    return reasons
