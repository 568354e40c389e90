"""The Pareto front and what to ship, against their definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.evaluate.scores import wilson_interval
from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.sweep import Limits
from sbn_deploy.report.content import Accuracy, Point
from sbn_deploy.report.decide import AT_MOST, WITHIN, decide, with_front


def of(accuracy: float | None, ms: float, name: str = "a", *, half: float = 0.01) -> Point:
    timing = Timing(
        model=name,
        engine="sbn",
        threads=1,
        batch=1,
        runs=1,
        p50_ms=ms,
        prediction_low_ms=ms * 0.98,
        prediction_high_ms=ms * 1.02,
    )
    known = None
    if accuracy is not None:
        known = Accuracy(accuracy, accuracy - half, accuracy + half, "digits", 100)
    return Point(name, name, "thresholded", timing, known, False, "run.json")


# Few different values, so that ties are common; some accuracies are not known.
POINTS = st.lists(
    st.builds(
        of,
        st.one_of(st.none(), st.integers(90, 96).map(lambda x: x / 100)),
        st.integers(1, 6).map(float),
        st.sampled_from("abc"),
    ),
    min_size=1,
    max_size=10,
)
LIMITS = st.builds(
    lambda ms, least: Limits(budget_ms=ms, min_accuracy=least),
    st.one_of(st.none(), st.integers(1, 7).map(float)),
    st.one_of(st.none(), st.integers(90, 97).map(lambda x: x / 100)),
)
FAST, MIDDLE, SLOW = of(0.90, 1.0, "fast"), of(0.95, 1.9, "middle"), of(0.957, 4.0, "slow")


def wilson(right: int, images: int) -> Accuracy:
    return Accuracy(right / images, *wilson_interval(right, images), "photos", images)


def figures(point: Point) -> tuple[float, float]:
    assert point.accuracy is not None
    return point.timing.p50_ms, point.accuracy.value


@given(POINTS)
def test_front_is_what_nothing_dominates(points: list[Point]) -> None:
    known = [figures(point) for point in points if point.accuracy]

    def dominated(one: tuple[float, float]) -> bool:
        return any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in known)

    for point in with_front(points):
        assert point.on_front == (point.accuracy is not None and not dominated(figures(point)))


@given(POINTS, LIMITS)
def test_the_decision(points: list[Point], limits: Limits) -> None:
    decision = decide(points, limits)
    budget = limits.budget_ms or float("inf")
    in_time = [p for p in points if (p.timing.prediction_high_ms or 0) <= budget]
    known = [p for p in points if p.accuracy]
    if not known and limits.min_accuracy is None:
        found = [p.timing.p50_ms for p in in_time]
        assert (decision.ship and decision.ship.timing.p50_ms) == min(found, default=None)
        return
    fits = [p for p in in_time if p.accuracy and p.accuracy.value >= (limits.min_accuracy or 0)]
    if not fits:
        assert decision.ship is None
        assert decision.closest in points
        return
    assert decision.ship in fits
    ms, accuracy = figures(decision.ship)
    best = max(figures(p)[1] for p in fits)
    if limits.min_accuracy is not None:
        assert ms == min(figures(p)[0] for p in fits)
    elif limits.budget_ms is not None:
        assert accuracy == best
        assert ms == min(figures(p)[0] for p in fits if figures(p)[1] == best)
    else:
        good = [
            p
            for p in fits
            if round(best - figures(p)[1], 9) <= WITHIN
            or (
                round(best - figures(p)[1], 9) <= AT_MOST and p.accuracy and p.accuracy.high >= best
            )
        ]
        assert ms == min(figures(p)[0] for p in good)


@given(POINTS, LIMITS, st.randoms())
def test_the_order_does_not_matter(points: list[Point], limits: Limits, random: object) -> None:
    first = decide(points, limits).ship
    random.shuffle(points)  # type: ignore[attr-defined]
    assert decide(points, limits).ship == first


def test_the_most_accurate_in_time() -> None:
    points = [SLOW, FAST, MIDDLE]
    assert decide(points, Limits(budget_ms=2)).ship == MIDDLE
    # Its median is below the budget, but not for certain.
    assert decide(points, Limits(budget_ms=1.92)).ship == FAST
    assert decide(points, Limits(budget_ms=5)).ship == SLOW


def test_overlapping_intervals() -> None:
    decision = decide([SLOW, FAST, MIDDLE], Limits(budget_ms=5))
    assert (decision.ship, decision.faster) == (SLOW, MIDDLE)
    assert decide([SLOW, FAST], Limits(budget_ms=5)).faster is None
    # Without limits, within a point of the best.
    decision = decide([SLOW, FAST, MIDDLE])
    assert (decision.ship, decision.most_accurate, decision.faster) == (MIDDLE, SLOW, None)


def test_a_few_images_are_no_reason_for_a_slower_network() -> None:
    """74 of 78 images against 76 of 78, in a fifth of the time."""
    few = [replace(of(right / 78, ms, name), accuracy=wilson(right, 78)) for right, ms, name in (
        (76, 5.0, "slow"), (74, 1.0, "fast"), (70, 0.5, "poor"),
    )]  # fmt: skip
    decision = decide(few)
    assert decision.ship == few[1]
    assert decision.most_accurate == few[0]
    # Of many images the same shares differ.
    many = [replace(point, accuracy=wilson(round(point.accuracy.value * 7800), 7800))
            for point in few if point.accuracy]  # fmt: skip
    assert decide(many).ship == many[0]


def test_the_fastest_that_is_accurate_enough() -> None:
    assert decide([SLOW, FAST, MIDDLE], Limits(min_accuracy=0.95)).ship == MIDDLE


@pytest.mark.parametrize(
    ("limits", "closest"),
    [
        (Limits(budget_ms=0.5), FAST),
        (Limits(min_accuracy=0.99, budget_ms=2), MIDDLE),
    ],
)
def test_where_none_will_do_the_closest_is_named(limits: Limits, closest: Point) -> None:
    decision = decide([SLOW, MIDDLE, FAST], limits)
    assert (decision.ship, decision.closest) == (None, closest)


def test_missing_accuracies() -> None:
    unknown = replace(FAST, accuracy=None)
    assert decide([SLOW, unknown]).ship == SLOW
    assert decide([replace(SLOW, accuracy=None), unknown]).ship == unknown
    assert decide([unknown], Limits(min_accuracy=0.5)).ship is None


def test_ties_go_to_the_first_by_name() -> None:
    assert decide([of(0.9, 1.0, name) for name in "bac"]).ship == of(0.9, 1.0, "a")
    assert with_front([]) == []
