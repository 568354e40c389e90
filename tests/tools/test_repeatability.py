"""Whether two runs agree."""

from __future__ import annotations

import pytest

from ..report import builder
from .repeatability import agree, figures


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
    model = builder.model("m")
    record = builder.benchmark([builder.Case(model, 1.0), builder.Case(model, 3.0, "torch")])
    ratios, medians = figures(record)
    (ratio,) = record.ratios
    found = (ratio.ratio, ratio.prediction_low, ratio.prediction_high)
    assert ratios == {"m torch 1 1": found}
    assert medians.keys() == {"m sbn 1 1", "m torch 1 1"}
    assert medians["m sbn 1 1"][0] == record.results[0].p50_ms
