"""The figures of an engine, and the cores that it keeps to."""

from __future__ import annotations

import os

import numpy as np
import pytest

from sbn_deploy.benchmark.bootstrap import FEWEST
from sbn_deploy.benchmark.timing import summarise
from sbn_deploy.machine.cores import cores_for, pinned


def test_figures() -> None:
    ms = np.arange(1.0, 102.0)
    rounds = [ms[start : start + 10] for start in range(0, 100, 10)] + [ms[100:]]
    timing = summarise("m", "a", 2, 4, [rounds[:6], rounds[6:]] * FEWEST)
    assert (timing.sessions, timing.runs) == (2 * FEWEST, 101 * FEWEST)
    assert (timing.min_ms, timing.p50_ms) == (1, 51)
    assert (timing.p90_ms, timing.p99_ms) == pytest.approx((91, 100), abs=0.2)
    assert timing.images_per_s == pytest.approx(4000 / 51)
    assert timing.spread == pytest.approx(25 / 51)
    assert timing.prediction_low_ms is not None
    assert timing.prediction_high_ms is not None
    assert timing.prediction_low_ms < 51 < timing.prediction_high_ms


def test_drift_compares_the_last_quarter_with_the_first() -> None:
    ms = np.array([2.0, 2.0, 2.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    assert summarise("m", "a", 1, 1, [[ms]]).drift == pytest.approx(0.5)
    assert summarise("m", "a", 1, 1, [[ms[:9]]]).drift is None


def test_few_sessions_say_nothing_of_the_next() -> None:
    timing = summarise("m", "a", 1, 1, [[np.array([1.0, 2.0])]] * (FEWEST - 1))
    assert timing.prediction_low_ms is timing.prediction_high_ms is None


def test_no_median_is_expected_below_the_fastest_call() -> None:
    """Sessions of 1 to 9 ms: by the spread alone it could be."""
    sessions = [[np.full(10, ms)] * 3 for ms in (1.0, 9.0, 3.0, 1.0, 9.0)]
    timing = summarise("m", "a", 1, 1, sessions)
    assert timing.prediction_low_ms == timing.min_ms == 1.0


@pytest.mark.parametrize("threads", [1, 10_000])
def test_pinning_is_undone(threads: int) -> None:
    before = os.sched_getaffinity(0)
    expected = set(cores_for(threads))
    with pinned(threads):
        inside = os.sched_getaffinity(0)
    assert inside == expected <= before
    assert len(inside) == min(threads, len(before))
    assert os.sched_getaffinity(0) == before
