"""Numbers for readers: three significant digits, units, a dash for none."""

from __future__ import annotations

from math import floor, log10

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, thousands separated; an exponent below 0.0001 only."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) < 1e-4:
        return f"{rounded:.{digits - 1}e}"
    return f"{rounded:,.{max(0, digits - 1 - floor(log10(abs(rounded))))}f}"


def short(value: float) -> str:
    """A round value, as at an axis, without zeros that say nothing."""
    return f"{value:,.10g}"


def milliseconds(value: float | None) -> str:
    """Milliseconds with the unit that suits them: µs below a tenth of one, s from 10,000 on."""
    if value is None:
        return NONE
    factor, unit = _unit(value)
    return f"{number(value * factor)} {unit}"


def milliseconds_interval(low: float, high: float) -> str:
    """An interval of milliseconds, with one unit for both ends."""
    factor, unit = _unit(high)
    return f"{interval(low * factor, high * factor)} {unit}"


def _unit(milliseconds: float) -> tuple[float, str]:
    if milliseconds < 0.1:
        return 1e3, "µs"
    return (1.0, "ms") if milliseconds < 1e4 else (1e-3, "s")


def microseconds(value: float) -> str:
    """Microseconds, however many, so that they compare."""
    return f"{number(value)} µs"


def percent(share: float | None, decimals: int = 2) -> str:
    """A share of 1 in percent."""
    return NONE if share is None else f"{100 * share:.{decimals}f} %"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """An interval of plain numbers."""
    return (
        NONE if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"
    )


def percent_interval(low: float | None, high: float | None, decimals: int = 2) -> str:
    """An interval of shares, in percent."""
    if low is None or high is None:
        return NONE
    return f"{100 * low:.{decimals}f} to {100 * high:.{decimals}f} %"


def kilobytes(value: float | None) -> str:
    """Bytes as kB."""
    return NONE if value is None else f"{value / 1e3:,.0f}" if value >= 1e4 else number(value / 1e3)


def megabytes(value: float | None) -> str:
    """Bytes as MB."""
    return NONE if value is None else number(value / 1e6)


def count(value: float | None) -> str:
    """A whole number with its thousands separated."""
    return NONE if value is None else f"{value:,.0f}"


def quantity(value: int) -> str:
    """A large count with a prefix, as 1.2 M."""
    for size, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{number(value / size)} {prefix}"
    return str(value)


def way(ratio: float) -> str:
    """Which way a ratio of times points: slower above 1."""
    return "slower" if ratio > 1 else "faster" if ratio < 1 else "the same"


def times(ratio: float | None) -> str:
    """A ratio, as 3.42×."""
    return NONE if ratio is None else f"{number(ratio)}×"
