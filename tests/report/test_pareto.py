"""The Pareto front and the answer, against their definitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.report.pareto import WITHIN, fastest_within, front

# Few different values, so that ties are common.
POINTS = st.lists(
    st.tuples(st.integers(1, 6).map(float), st.integers(90, 96).map(lambda x: x / 100)), min_size=1
)


@given(POINTS)
def test_front_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    def dominated(point: tuple[float, float]) -> bool:
        return any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )

    latency, accuracy = zip(*points, strict=True)
    assert front(latency, accuracy) == [not dominated(point) for point in points]


@given(POINTS)
def test_answer_is_the_fastest_of_the_good_ones(points: list[tuple[float, float]]) -> None:
    latency, accuracy = zip(*points, strict=True)
    chosen = fastest_within(latency, accuracy)
    good = [point for point in points if round(max(accuracy) - point[1], 9) <= WITHIN]
    assert points[chosen] in good
    assert latency[chosen] == min(ms for ms, _ in good)


def test_empty_front() -> None:
    assert front([], []) == []
