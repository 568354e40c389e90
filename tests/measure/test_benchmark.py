"""The benchmark's order and bookkeeping; nothing here depends on how fast the machine is."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sbn_deploy.measure.benchmark import BLOCK, measure, pinned, summary


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
    full, rest = 1 + BLOCK, 2
    rounds = ["a"] * full + ["b"] * full
    assert calls == ["a"] * 4 + ["b"] * 4 + rounds * 2 + ["a"] * rest + ["b"] * rest


def test_results() -> None:
    _, _, results = record(runs=7, warmup=0)
    assert [result.engine for result in results] == ["a", "b"]
    for result in results:
        assert (result.runs, result.batch, result.threads) == (7, 3, 1)
        assert 0 < result.min_ms <= result.median_ms <= result.p95_ms
        assert result.images_per_s == pytest.approx(3000 / result.median_ms)


def test_drift_compares_the_last_quarter_with_the_first() -> None:
    ms = [2.0, 2.0, 9.0, 9.0, 1.0, 1.0, 3.0, 3.0]
    timing = summary("a", 1, 1, [int(time * 1e6) for time in ms])
    assert timing.drift == pytest.approx(0.5)
    assert summary("a", 1, 1, [1]).drift == 0


def test_garbage_is_left_alone_while_measuring() -> None:
    engines, _, _ = record(runs=3, warmup=0)
    assert all(engine.collecting == {False} for engine in engines)
    assert gc.isenabled()


@pytest.mark.parametrize("threads", [1, 10_000])
def test_pinning_is_undone(threads: int) -> None:
    before = os.sched_getaffinity(0)
    with pinned(threads):
        inside = os.sched_getaffinity(0)
    assert inside <= before
    assert len(inside) == min(threads, len(before))
    assert os.sched_getaffinity(0) == before
