"""Engines take turns, in rounds.

When the machine slows down or speeds up, it does so for all engines of a round, so that the
ratio of two of them hardly changes. Each round has its own random order: no engine always
follows the same other one. A turn begins with untimed calls, which warm the caches that the
previous engine has used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter, perf_counter_ns, process_time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.machine.energy import Meter

BLOCK = 10
# Long enough for caches, and for threads that were held to run again.
SETTLE_NS = 1_000_000


@dataclass(frozen=True)
class Turn:
    """What an engine did in its turn.

    Attributes:
        ns: the time of each timed call, in nanoseconds.
        calls: made in all.
        cpu_s: what all threads of its process took of the cores, in seconds.
    """

    ns: Sequence[int]
    calls: int
    cpu_s: float


class Runner(Protocol):
    """An engine that waits for its turn."""

    def turn(self, calls: int) -> Turn:
        """Makes untimed calls, then `calls` timed ones."""


@dataclass
class Taken:
    """What one engine did in its turns: `rounds` has the times of each turn in milliseconds.

    `joules` is what the processor took for all `calls`, timed or not; None where it does not say.
    `cpu_s` is the time that they had the cores.
    """

    rounds: list[NDArray[np.float64]] = field(default_factory=list)
    calls: int = 0
    joules: float | None = None
    cpu_s: float = 0.0

    def add(self, turn: Turn, joules: float | None) -> None:
        """Notes a turn."""
        self.rounds.append(np.asarray(turn.ns) / 1e6)
        self.calls += turn.calls
        self.cpu_s += turn.cpu_s
        if joules is not None:
            self.joules = (self.joules or 0) + joules


def take_turns(
    runners: Sequence[Runner],
    *,
    runs: int,
    random: Random,
    block: int = BLOCK,
    until: float = float("inf"),
    clock: Callable[[], float] = perf_counter,
    meter: Meter | None = None,
) -> list[Taken]:
    """Gives turns until each runner has made `runs` timed calls, `block` in each turn.

    No round begins at `until` of the `clock` or later, except the first.
    """
    taken = [Taken() for _ in runners]
    for start in range(0, runs, block):
        if start and clock() >= until:
            break
        for index in random.sample(range(len(runners)), len(runners)):
            before = meter.read() if meter else None
            turn = runners[index].turn(min(block, runs - start))
            spent = meter.since(before) if meter and before is not None else None
            taken[index].add(turn, spent)
    return taken


class Turns:
    """An engine's turns: `run(x)` untimed until it has settled, then timed."""

    def __init__(self, run: Callable[[Any], object], x: Any) -> None:
        self._run, self._x = run, x
        self._ended: float | None = None

    def turn(self, calls: int) -> Turn:
        """A turn of `calls` timed calls.

        Its CPU time begins where the previous one ended, since threads look for work until the
        process is held; it is that of the process, so there should be one engine in it.
        """
        begin = process_time() if self._ended is None else self._ended
        untimed = settle(self._run, self._x)
        ns = timed(self._run, self._x, calls)
        self._ended = process_time()
        return Turn(ns, untimed + calls, self._ended - begin)


def settle(run: Callable[[Any], object], x: Any) -> int:
    """Calls `run(x)` at least once and for SETTLE_NS; how often."""
    calls = 0
    begin = perf_counter_ns()
    while not calls or perf_counter_ns() - begin < SETTLE_NS:
        run(x)
        calls += 1
    return calls


def timed(run: Callable[[Any], object], x: Any, calls: int) -> list[int]:
    """Calls `run(x)`; the time of each call in nanoseconds."""
    taken = []
    for _ in range(calls):
        begin = perf_counter_ns()
        run(x)
        taken.append(perf_counter_ns() - begin)
    return taken
