"""Whether two runs agree."""

from __future__ import annotations

import pytest

from tests.tools.repeatability import agree, figures


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((3.1, 2.9, 3.3), True),
        ((3.3, 2.9, 3.4), False),
        ((3.1, 3.05, 3.3), False),
    ],
)
def test_each_must_lie_in_the_others_interval(
    other: tuple[float, float, float], expected: bool
) -> None:
    one = {"fp32": (3.0, 2.8, 3.2), "int8": (2.0, 2.0, 2.0)}
    assert agree(one, one | {"fp32": other}) is expected


def test_figures_are_known_by_what_they_are_of() -> None:
    key = {"model": "m", "engine": "fp32", "threads": 1, "batch": 8}
    ratios, medians = figures(
        {
            "ratios": [key | {"ratio": 3.0, "low": 2.0, "high": 4.0}],
            "results": [key | {"p50_ms": 1.0, "p50_low_ms": 0.9, "p50_high_ms": 1.1}],
        }
    )
    assert ratios == {"m fp32 1 8": (3.0, 2.0, 4.0)}
    assert medians == {"m fp32 1 8": (1.0, 0.9, 1.1)}
