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
from time import perf_counter, perf_counter_ns
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.latency.energy import Meter

BLOCK = 10
# Long enough for caches, and for the threads of the previous engine to stop looking for work.
SETTLE_NS = 1_000_000


@dataclass(frozen=True)
class Turn:
    """The time of each timed call in nanoseconds, and how many calls were made in all."""

    ns: Sequence[int]
    calls: int


class Runner(Protocol):
    """An engine that waits for its turn."""

    def turn(self, calls: int) -> Turn:
        """Makes untimed calls, then `calls` timed ones."""


@dataclass
class Taken:
    """What one engine did in its turns: `rounds` has the times of each turn in milliseconds.

    `joules` is what the processor took for all `calls`, timed or not; None where it does not say.
    """

    rounds: list[NDArray[np.float64]] = field(default_factory=list)
    calls: int = 0
    joules: float | None = None

    def add(self, turn: Turn, joules: float | None) -> None:
        """Notes a turn."""
        self.rounds.append(np.asarray(turn.ns) / 1e6)
        self.calls += turn.calls
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


def timed_turn(run: Callable[[Any], object], x: Any, calls: int) -> Turn:
    """Calls `run(x)`: untimed at least once and until the engine has settled, then timed."""
    untimed = 0
    begin = perf_counter_ns()
    while not untimed or perf_counter_ns() - begin < SETTLE_NS:
        run(x)
        untimed += 1
    taken = []
    for _ in range(calls):
        begin = perf_counter_ns()
        run(x)
        taken.append(perf_counter_ns() - begin)
    return Turn(taken, untimed + calls)
