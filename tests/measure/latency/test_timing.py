"""Engines in turns within this process; nothing here depends on how fast the machine is."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from sbn_deploy.measure.latency.rounds import BLOCK
from sbn_deploy.measure.latency.timing import cores_for, measure, pinned, summarise


@dataclass
class Recorder:
    """An engine that notes when it is called."""

    name: str
    calls: list[str]
    threads: int = 1
    collecting: set[bool] = field(default_factory=set)

    def adapt(self, x: np.ndarray) -> np.ndarray:
        return x + 1

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        assert (x == 1).all()
        self.calls.append(self.name)
        self.collecting.add(gc.isenabled())
        return [x]


def record(runs: int, warmup: int) -> tuple[list[Recorder], list[str], list[Any]]:
    calls: list[str] = []
    engines = [Recorder("a", calls), Recorder("b", calls)]
    x = np.zeros((3, 1), np.float32)
    return engines, calls, measure(engines, x, runs=runs, warmup=warmup)


def test_engines_take_turns() -> None:
    _, calls, _ = record(runs=2 * BLOCK + 1, warmup=4)
    turns = [(name, len(list(group))) for name, group in groupby(calls[8:])]
    assert calls[:8] == ["a"] * 4 + ["b"] * 4
    # Three rounds of both; the last of one round may be the first of the next.
    assert {name for name, _ in turns} == {"a", "b"}
    assert len(turns) <= 6
    assert all(count > (BLOCK if index < 4 else 1) for index, (_, count) in enumerate(turns[:2]))


def test_results() -> None:
    _, _, results = record(runs=7, warmup=0)
    assert [result.engine for result in results] == ["a", "b"]
    for result in results:
        assert (result.runs, result.batch, result.threads) == (7, 3, 1)
        assert 0 < result.min_ms <= result.p50_ms <= result.p90_ms <= result.p99_ms
        assert result.images_per_s == pytest.approx(3000 / result.p50_ms)
        assert result.p50_low_ms is result.p50_high_ms is None


def test_figures() -> None:
    ms = np.arange(1.0, 102.0)
    rounds = [ms[start : start + 10] for start in range(0, 100, 10)] + [ms[100:]]
    timing = summarise("a", 2, 4, [rounds[:6], rounds[6:]])
    assert (timing.runs, timing.min_ms, timing.p50_ms) == (101, 1, 51)
    assert (timing.p90_ms, timing.p99_ms) == pytest.approx((91, 100))
    assert timing.images_per_s == pytest.approx(4000 / 51)
    assert timing.spread == pytest.approx(25 / 51)
    assert timing.p50_low_ms is not None
    assert timing.p50_high_ms is not None
    assert timing.p50_low_ms < 51 < timing.p50_high_ms


def test_drift_compares_the_last_quarter_with_the_first() -> None:
    ms = np.array([2.0, 2.0, 9.0, 9.0, 1.0, 1.0, 3.0, 3.0])
    assert summarise("a", 1, 1, [[ms]]).drift == pytest.approx(0.5)
    assert summarise("a", 1, 1, [[ms[:1]]]).drift == 0


def test_garbage_is_left_alone_while_measuring() -> None:
    engines, _, _ = record(runs=3, warmup=0)
    assert all(engine.collecting == {False} for engine in engines)
    assert gc.isenabled()


@pytest.mark.parametrize("threads", [1, 10_000])
def test_pinning_is_undone(threads: int) -> None:
    before = os.sched_getaffinity(0)
    expected = set(cores_for(threads))
    with pinned(threads):
        inside = os.sched_getaffinity(0)
    assert inside == expected <= before
    assert len(inside) == min(threads, len(before))
    assert os.sched_getaffinity(0) == before
