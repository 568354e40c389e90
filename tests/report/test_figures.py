"""Numbers in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.report import figures


@given(st.floats(1e-9, 1e12), st.integers(2, 5))
def test_a_number_keeps_its_digits(value: float, digits: int) -> None:
    text = figures.number(value, digits)
    assert float(text.replace(",", "")) == float(f"{value:.{digits}g}")
    assert ("e" in text) == (float(f"{value:.{digits}g}") < 1e-4)


@given(st.floats(1e-5, 1e6))
def test_milliseconds_say_their_unit(value: float) -> None:
    shown, unit = figures.milliseconds(value).split()
    factor = {"µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    assert float(shown.replace(",", "")) * factor == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (figures.number(0.34), "0.340"),
        (figures.number(1234.5, 5), "1,234.5"),
        (figures.number(0), "0"),
        (figures.percent(0.98765), "98.77 %"),
        (figures.percent_interval(0.5, 0.75, 1), "50.0 to 75.0 %"),
        (figures.milliseconds_interval(0.0895, 0.0912), "89.5 to 91.2 µs"),
        (figures.kilobytes(30_127), "30"),
        (figures.kilobytes(4_720_000), "4,720"),
        (figures.quantity(75_000_000), "75.0 M"),
        (figures.times(5.19), "5.19×"),
        (figures.short(20.0), "20"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert text == expected


def test_what_is_not_known_is_a_dash() -> None:
    unknown = {
        figures.number(None),
        figures.milliseconds(None),
        figures.percent(None),
        figures.interval(1.0, None),
        figures.percent_interval(None, 1.0),
        figures.kilobytes(None),
        figures.megabytes(None),
        figures.count(None),
        figures.times(None),
    }
    assert unknown == {figures.NONE}
