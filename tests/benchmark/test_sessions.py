"""Sessions: how often engines start, and that they stop in time. The clock is made up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from sbn_deploy.benchmark.bootstrap import FEWEST
from sbn_deploy.benchmark.rounds import BLOCK, Turn
from sbn_deploy.benchmark.sessions import (
    MOST_SESSIONS,
    SESSION_RUNS,
    SESSIONS,
    Measured,
    measure_sessions,
)
from sbn_deploy.benchmark.worker import Job, Spec, Started


@dataclass
class Machine:
    """A clock, engines that take their time by it, and what happened."""

    start_s: float = 0.2
    call_s: dict[str, float] = field(default_factory=dict)
    now: float = 100.0
    log: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    spread: float = 0.0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def clock(self) -> float:
        return self.now

    @contextmanager
    def process(self, spec: Spec) -> Iterator[Engine]:
        self.log.append(f"open {spec.engine}")
        try:
            yield Engine(self, spec.engine, self.call_s.get(spec.engine, 0.001))
        finally:
            self.log.append(f"close {spec.engine}")

    def measure(
        self, engines: str, *, runs: int | None, seconds: float, warmup: int = 3
    ) -> list[Measured]:
        return measure_sessions(
            [Spec("m", name) for name in engines],
            threads=1,
            batch=2,
            runs=runs,
            warmup=warmup,
            seconds=seconds,
            watch=lambda: self.log.append("watch"),
            process=self.process,
            clock=self.clock,
        )


@dataclass
class Engine:
    machine: Machine
    name: str
    call_s: float

    def wait_until_ready(self) -> None:
        self.machine.log.append(f"ready {self.name}")

    def start(self, job: Job) -> Started:
        self.machine.log.append(f"start {self.name}")
        self.machine.jobs.append(job)
        warm = min(job.warmup, int(job.warmup_s / self.call_s))
        self.machine.now += self.machine.start_s + max(1, warm) * self.call_s
        return Started(self.machine.start_s * 1e3, 1, 2, 0.1, self.call_s * 1e3)

    def turn(self, calls: int) -> Turn:
        self.machine.now += (calls + 1) * self.call_s
        call_s = self.call_s * math.exp(self.machine.spread * self.machine.random.normal())
        return Turn([round(call_s * 1e9)] * calls, calls + 1, calls * self.call_s)


def test_each_session_has_fresh_engines() -> None:
    machine = Machine()
    measured = machine.measure("ab", runs=1000, seconds=1e6)
    start = ["open a", "open b", "ready a", "ready b", "start a", "start b"]
    end = ["close b", "close a"]
    assert machine.log == [*start[:-1], "watch", start[-1], *end, *(start + end) * (SESSIONS - 1)]
    for entry in measured:
        assert len(entry.started) == len(entry.sessions) == SESSIONS
        assert [len(session.rounds) for session in entry.sessions] == [
            1000 // SESSIONS // BLOCK
        ] * (SESSIONS)


def test_only_the_first_engine_is_kept_busy() -> None:
    machine = Machine()
    machine.measure("ab", runs=30, seconds=1e6)
    assert [job.busy_s > 0 for job in machine.jobs] == [True] + [False] * 9


@pytest.mark.parametrize("runs", [1, 9, 10, 11, 25, 99, 100, 101, 995, 3000])
def test_as_many_runs_as_wanted(runs: int) -> None:
    for entry in Machine().measure("ab", runs=runs, seconds=1e6):
        assert sum(len(ns) for session in entry.sessions for ns in session.rounds) == runs
        # Enough sessions for an interval, if there are as many calls.
        wanted = max(FEWEST, min(SESSIONS, math.ceil(runs / BLOCK)))
        assert len(entry.sessions) == min(runs, wanted)


@pytest.mark.parametrize("seconds", [3.0, 10.0, 60.0])
@pytest.mark.parametrize("call_s", [0.0001, 0.01, 0.3])
def test_time_is_kept(seconds: float, call_s: float) -> None:
    """However slow the engines; what the last round takes may come on top."""
    machine = Machine(call_s={"a": call_s, "b": 2 * call_s})
    begin = machine.now
    first, second = machine.measure("ab", runs=1_000_000, seconds=seconds)
    calls = max(len(ns) for session in first.sessions for ns in session.rounds)
    assert machine.now - begin <= seconds + 3 * call_s * (calls + 1) + 1e-6
    assert machine.now - begin > seconds / 3
    assert [len(session.rounds) for session in first.sessions] == [
        len(session.rounds) for session in second.sessions
    ]


@pytest.mark.parametrize(("spread", "least", "most"), [(0.0, 10, 10), (0.2, 11, 49), (3.0, 50, 50)])
def test_until_the_median_is_precise(spread: float, least: int, most: int) -> None:
    """Calls of 1 ms, which differ from round to round: more sessions where they differ more."""
    (entry,) = Machine(spread=spread).measure("a", runs=None, seconds=1e6)
    assert least <= len(entry.sessions) <= most
    for session in entry.sessions:
        assert sum(map(len, session.rounds)) == SESSION_RUNS
    assert (SESSIONS, MOST_SESSIONS) == (10, 50)


def test_a_slow_engine_has_sessions_too() -> None:
    """Of 100 calls of a second each there would be one session in two minutes."""
    (entry,) = Machine(call_s={"a": 1.0}).measure("a", runs=None, seconds=120)
    assert len(entry.sessions) >= FEWEST


def test_one_round_is_always_measured() -> None:
    machine = Machine(start_s=30, call_s={"a": 20.0})
    (measured,) = machine.measure("a", runs=1000, seconds=1, warmup=500)
    assert [len(ns) for session in measured.sessions for ns in session.rounds] == [1]


@pytest.mark.parametrize("runs", [None, 1_000_000])
def test_slow_starts_mean_fewer_sessions(runs: int | None) -> None:
    """But enough for an interval, if there is time for as many starts."""
    (measured,) = Machine(start_s=1).measure("a", runs=runs, seconds=8)
    assert FEWEST <= len(measured.sessions) < SESSIONS
    (measured,) = Machine(start_s=1).measure("a", runs=runs, seconds=3)
    assert 1 < len(measured.sessions) < FEWEST


def test_engines_end_when_one_fails() -> None:
    machine = Machine(call_s={"b": 0.0})
    with pytest.raises(ZeroDivisionError):
        machine.measure("ab", runs=100, seconds=10)
    assert machine.log[-2:] == ["close b", "close a"]
