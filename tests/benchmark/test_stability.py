"""The rule by which a measurement counts as unstable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sbn_deploy.benchmark import stability
from sbn_deploy.benchmark.stability import (
    DRIFT,
    FREQUENCY_DROP,
    HOT_C,
    OTHERS,
    SPREAD,
    STOLEN,
    instability,
)
from sbn_deploy.machine.background_load import BackgroundLoad
from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.machine import CpuState

STATE = CpuState(
    governor="performance",
    mhz=2000.0,
    max_mhz=2400.0,
    temperature_c=50.0,
    limit_c=85.0,
    throttled=(),
    throttle_count=7,
)
UNKNOWN = CpuState()
TIMING = Timing(
    model="m", engine="sbn", threads=1, batch=1, runs=100, p50_ms=1.0, spread=SPREAD, drift=DRIFT
)


@dataclass
class Seen(BackgroundLoad):
    """A load that was seen, of four cores."""

    busy_cores: float | None = 0.1
    stolen_cores: float | None = 0.0
    cores: Collection[int] = range(4)


def reasons(
    before: dict[str, Any],
    after: dict[str, Any],
    background: BackgroundLoad | None = None,
    **timing: float,
) -> list[str]:
    return instability(
        replace(STATE, **before),
        replace(STATE, **after),
        {"sbn": replace(TIMING, **timing)},
        background=background,
    )


def test_a_steady_machine() -> None:
    assert reasons({}, {}) == []


def test_a_machine_that_tells_nothing() -> None:
    found = instability(UNKNOWN, UNKNOWN, {"sbn": TIMING}, background=None)
    assert found == []


@pytest.mark.parametrize("factor", [1, -1])
def test_frequency(factor: int) -> None:
    mhz = 2000 * (1 - FREQUENCY_DROP) + factor
    found = reasons({}, {"mhz": mhz})
    assert found == ([] if factor > 0 else [f"the frequency fell from 2000 to {mhz:.0f} MHz"])


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((), ("throttled",), "the board reports: throttled"),
        (("throttled",), ("throttled",), "the board reports: throttled"),
        (("throttling has occurred",), ("throttling has occurred",), None),
        ((), ("throttling has occurred",), "the board reports: throttling has occurred"),
    ],
)
def test_flags(before: tuple[str, ...], after: tuple[str, ...], found: str | None) -> None:
    assert reasons({"throttled": before}, {"throttled": after}) == ([found] if found else [])


def test_throttle_count() -> None:
    assert reasons({}, {"throttle_count": 8}) == ["the CPU was throttled"]


@pytest.mark.parametrize("limit", [None, 60.0, 95.0])
def test_temperature(limit: float | None) -> None:
    bound = HOT_C if limit is None else limit
    assert reasons({}, {"limit_c": limit, "temperature_c": bound - 1}) == []
    found = reasons({}, {"limit_c": limit, "temperature_c": bound})
    assert found == [f"the CPU is at {bound:.0f} °C"]


def test_times() -> None:
    assert reasons({}, {}, spread=2 * SPREAD) == [f"the times of sbn spread by {2 * SPREAD:.0%}"]
    assert reasons({}, {}, drift=2 * DRIFT) == [f"sbn became {2 * DRIFT:.0%} slower during the run"]


def test_background_load() -> None:
    assert reasons({}, {}, Seen()) == []
    assert reasons({}, {}, Seen(None, None)) == []
    assert reasons({}, {}, Seen(4 * OTHERS, STOLEN)) == []
    found = reasons({}, {}, Seen(2 * 4 * OTHERS, 2 * STOLEN))
    assert found == [
        f"other programs used {8 * OTHERS:.1f} of 4 cores",
        f"the host of this virtual machine withheld {2 * STOLEN:.0%} of a core",
    ]


def test_every_bound_is_stated() -> None:
    for bound in (
        f"{FREQUENCY_DROP:.0%}",
        f"{SPREAD:.0%}",
        f"{DRIFT:.0%}",
        f"{HOT_C:.0f}",
        f"{OTHERS:.0%}",
        f"{STOLEN:.0%}",
    ):
        assert bound in stability.RULE
