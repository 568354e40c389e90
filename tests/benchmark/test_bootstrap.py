"""Intervals: what must hold of them always, and how often they are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sbn_deploy.benchmark import bootstrap
from sbn_deploy.benchmark.bootstrap import (
    AT_ONCE,
    FEWEST,
    NORMAL,
    STUDENT,
    deviations,
    location,
    median_interval,
    ratio,
    ratio_interval,
)

from ..sampled import few

Session = list[NDArray[np.float64]]


def sessions(
    random: np.random.Generator, count: int, *, between: float, within: float, rounds: int = 8
) -> list[Session]:
    """Times around 1 ms: log-normal, with an error for each session and one for each round."""
    return [
        [
            np.exp(own + random.normal(0, within) + random.normal(0, within, 10))
            for _ in range(rounds)
        ]
        for own in random.normal(0, between, count)
    ]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Session], list[Session]]:
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=7))
    time = st.floats(1e-3, 1e3)

    def times() -> list[Session]:
        return [
            [np.array(draw(st.lists(time, min_size=1, max_size=3))) for _ in range(rounds)]
            for rounds in shape
        ]

    return times(), times()


@given(pairs())
def test_an_interval_holds_its_ratio(times: tuple[list[Session], list[Session]]) -> None:
    ours, theirs = times
    interval = ratio_interval(theirs, ours)
    if len(ours) < FEWEST:
        assert interval is None
    else:
        assert interval is not None
        low, high = interval
        assert 0 <= low <= ratio(theirs, ours) <= high


@given(pairs(), st.integers(1, 6).map(lambda power: 2.0**power))
def test_units_do_not_matter(times: tuple[list[Session], list[Session]], factor: float) -> None:
    ours, theirs = times
    slower = [[factor * calls for calls in session] for session in theirs]
    assert ratio(slower, ours) == pytest.approx(factor * ratio(theirs, ours))
    found, expected = ratio_interval(slower, ours), ratio_interval(theirs, ours)
    if expected is not None:
        assert found == pytest.approx([factor * bound for bound in expected])


@given(st.integers(0, 2**32 - 1))
def test_common_slow_downs_cancel(seed: int) -> None:
    """What meets both engines of a round alike is not in their ratio."""
    random = np.random.default_rng(seed)
    ours = sessions(random, FEWEST, between=0, within=0)
    slow = [[np.exp(random.normal(0, 1)) * calls for calls in session] for session in ours]
    theirs = [[3 * calls for calls in session] for session in slow]
    assert ratio_interval(theirs, slow) == pytest.approx((3, 3))


def test_the_spread_of_independent_rounds() -> None:
    """For one session it is that of the median of normal numbers, √(π/2) σ / √R."""
    values = np.random.default_rng(0).normal(0, 1, 2000)
    assert deviations([values]).std() == pytest.approx(np.sqrt(np.pi / 2 / 2000), rel=0.15)


def test_the_spread_of_sessions() -> None:
    """Rounds that agree within a session add nothing: σ / √S is left."""
    means = np.random.default_rng(1).normal(0, 1, 50)
    found = deviations([np.full(20, mean) for mean in means]).std()
    assert found == pytest.approx(means.std() / np.sqrt(50), rel=0.05)


def test_the_location_is_the_mean_of_medians() -> None:
    assert location([np.array([1.0, 2.0, 9.0]), np.array([4.0])]) == 3


def test_many_rounds_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [np.random.default_rng(2).normal(0, 1, 7)]
    whole = deviations(values)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 20)
    parts = deviations(values)
    assert AT_ONCE > 20
    assert parts.shape == whole.shape
    assert parts.std() == pytest.approx(whole.std(), rel=0.1)


@pytest.mark.parametrize(("count", "between"), few([(10, 0.02), (10, 0.0), (5, 0.02)], 1))
def test_the_next_run_falls_into_the_interval(count: int, between: float) -> None:
    """Two runs lie in each other's intervals in nine of ten cases, of the ratio and the median."""
    random = np.random.default_rng(3)
    hits = np.zeros(2)
    trials = 60
    for _ in range(trials):
        runs = []
        for _ in range(2):
            ours, theirs = (sessions(random, count, between=between, within=0.02) for _ in "ab")
            median = float(np.median(np.concatenate([call for run in ours for call in run])))
            runs.append(
                (
                    (ratio(theirs, ours), ratio_interval(theirs, ours)),
                    (median, median_interval(ours, median)),
                )
            )
        for index, ((first, its), (second, other)) in enumerate(zip(*runs, strict=True)):
            assert its is not None
            assert other is not None
            hits[index] += its[0] <= second <= its[1] and other[0] <= first <= other[1]
    assert (hits / trials >= 0.9).all(), hits / trials


def test_quantiles() -> None:
    found = stats.t.ppf(0.975, np.arange(1, len(STUDENT) + 1))
    np.testing.assert_allclose(STUDENT, found, atol=5e-4)
    assert pytest.approx(stats.norm.ppf(0.975), abs=5e-4) == NORMAL
