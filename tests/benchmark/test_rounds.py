"""Turns: their order, their end, their energy."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from time import process_time

import pytest

from sbn_deploy.benchmark.rounds import Taken, Turn, Turns, take_turns


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fake:
    """An engine whose calls take `seconds` of the clock; notes the calls of each turn."""

    name: str
    log: list[tuple[str, int]]
    clock: Clock = field(default_factory=Clock)
    seconds: float = 1.0

    def turn(self, calls: int) -> Turn:
        self.log.append((self.name, calls))
        self.clock.now += (calls + 1) * self.seconds
        return Turn([round(self.seconds * 1e9)] * calls, calls + 1, 0.5)


def rounds(runs: int, seed: int = 0, engines: int = 3) -> list[list[tuple[str, int]]]:
    log: list[tuple[str, int]] = []
    fakes = [Fake("abc"[index], log) for index in range(engines)]
    take_turns(fakes, runs=runs, random=Random(seed))
    return [log[start : start + engines] for start in range(0, len(log), engines)]


def test_every_engine_has_one_turn_in_each_round() -> None:
    for turns, calls in zip(rounds(45), [10, 10, 10, 10, 5], strict=True):
        assert sorted(turns) == [("a", calls), ("b", calls), ("c", calls)]


def test_every_order_occurs() -> None:
    orders = {tuple(name for name, _ in turns) for turns in rounds(1000)}
    assert len(orders) == 6


def test_what_was_taken() -> None:
    fakes = [Fake("a", [], seconds=0.001), Fake("b", [], seconds=0.002)]
    first, second = take_turns(fakes, runs=12, random=Random(0), block=5)
    assert [len(calls) for calls in first.rounds] == [5, 5, 2]
    assert {ms for calls in second.rounds for ms in calls} == {2.0}
    assert first.calls == 15
    assert first.joules is None
    assert first.cpu_s == 3 * 0.5


@pytest.mark.parametrize(("until", "expected"), [(-1.0, 1), (22.0, 1), (23.0, 2), (1e9, 10)])
def test_no_round_begins_when_time_is_up(until: float, expected: int) -> None:
    clock = Clock()
    fakes = [Fake(name, [], clock) for name in "ab"]
    taken = take_turns(fakes, runs=100, random=Random(0), until=until, clock=clock)
    assert [len(entry.rounds) for entry in taken] == [expected] * 2


def test_energy_goes_to_who_took_it() -> None:
    taken = Taken()
    taken.add(Turn([1_000_000] * 2, 5, 0.0), 0.5)
    taken.add(Turn([1_000_000], 3, 0.0), None)
    taken.add(Turn([1_000_000], 3, 0.0), 0.25)
    assert (taken.calls, taken.joules) == (11, 0.75)


def test_a_turn_begins_with_untimed_calls() -> None:
    seen: list[int] = []
    turn = Turns(seen.append, 3).turn(4)
    assert len(turn.ns) == 4
    assert turn.calls == len(seen) > 4
    assert set(seen) == {3}


def test_what_an_engine_does_between_turns_counts() -> None:
    def work(seconds: float) -> None:
        end = process_time() + seconds
        while process_time() < end:
            pass

    engine = Turns(work, 0.001)
    first = engine.turn(10)
    assert 0.010 <= first.cpu_s < 0.1
    work(0.2)
    assert engine.turn(10).cpu_s >= 0.21
