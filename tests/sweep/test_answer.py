"""Which form to ship."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.sweep.answer import Candidate, answer, candidates, front

CANDIDATE = Candidate("a", "sbn", 1, 0.9, 0.88, 0.92, 1.0, 0.98, 1.02, 1000)


def of(accuracy: float, ms: float, *, half: float = 0.01) -> Candidate:
    return replace(
        CANDIDATE,
        model=f"{accuracy}",
        accuracy=accuracy,
        low=accuracy - half,
        high=accuracy + half,
        p50_ms=ms,
        p50_low_ms=ms * 0.98,
        p50_high_ms=ms * 1.02,
    )


LISTS = st.lists(
    st.builds(
        lambda accuracy, ms: of(accuracy, ms),
        st.integers(0, 20).map(lambda n: n / 20),
        st.integers(1, 20).map(float),
    ),
    min_size=1,
    max_size=12,
)
FAST, MIDDLE, SLOW = of(0.90, 1.0), of(0.95, 1.9), of(0.96, 4.0)


def test_the_most_accurate_in_time() -> None:
    assert answer([SLOW, FAST, MIDDLE], budget_ms=2).best == MIDDLE
    # Its median is below the budget, but not for certain.
    assert answer([SLOW, FAST, MIDDLE], budget_ms=1.92).best == FAST
    assert answer([SLOW, FAST, MIDDLE]).best == SLOW


def test_a_faster_one_that_cannot_be_told_apart_is_named() -> None:
    assert answer([SLOW, FAST, MIDDLE]).faster == MIDDLE
    assert answer([SLOW, FAST]).faster is None


def test_the_fastest_that_is_accurate_enough() -> None:
    assert answer([SLOW, FAST, MIDDLE], min_accuracy=0.95).best == MIDDLE
    assert answer([SLOW, FAST, MIDDLE], min_accuracy=0.95, budget_ms=1) == answer(
        [FAST], min_accuracy=0.95, budget_ms=1
    )


def test_where_none_will_do_the_closest_is_named() -> None:
    none = answer([SLOW, MIDDLE, FAST], budget_ms=0.5)
    assert (none.best, none.closest) == (None, FAST)
    none = answer([SLOW, MIDDLE, FAST], min_accuracy=0.99, budget_ms=2)
    assert (none.best, none.closest) == (None, MIDDLE)


@given(LISTS)
def test_no_candidate_beats_one_on_the_front(found: list[Candidate]) -> None:
    kept = front(found)
    for one in found:
        beaten = any(
            (other.p50_ms <= one.p50_ms and other.accuracy > one.accuracy)
            or (other.p50_ms < one.p50_ms and other.accuracy >= one.accuracy)
            for other in found
        )
        assert beaten == (
            not any((other.p50_ms, other.accuracy) == (one.p50_ms, one.accuracy) for other in kept)
        )
    assert answer(found).best in found


def test_figures_meet_by_the_file_they_are_of() -> None:
    score = {"accuracy": 0.9, "low": 0.8, "high": 0.95}
    timing = {
        "model": "renamed",
        "engine": "sbn",
        "threads": 2,
        "batch": 1,
        "p50_ms": 1.0,
        "p50_low_ms": 0.9,
        "p50_high_ms": 1.1,
        "file_bytes": 5,
    }
    benchmark = {
        "models": [{"name": "renamed", "sha256": "1"}, {"name": "unscored", "sha256": "2"}],
        "results": [timing, timing | {"batch": 8}, timing | {"model": "unscored"}],
    }
    evaluation = {"model": {"name": "digits", "sha256": "1"}, "scores": score}
    (found,) = candidates([evaluation], [benchmark])
    assert (found.model, found.threads, found.accuracy) == ("renamed", 2, 0.9)
    assert candidates([], [benchmark]) == []


def test_nothing_measured_is_no_answer() -> None:
    with pytest.raises(ValueError, match="empty"):
        answer([])
