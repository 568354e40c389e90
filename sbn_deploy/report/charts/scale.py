"""Axes: from values to places, and the values that are written at them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Protocol

DECADE = 10.0


class Scale(Protocol):
    """Takes values to places."""

    def __call__(self, value: float) -> float: ...

    def ticks(self, most: int) -> list[float]:
        """Round values within the scale, about `most` of them at most."""


@dataclass(frozen=True)
class Linear:
    """Values low to high at places start to end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        step = round_step((self.high - self.low) / most)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


@dataclass(frozen=True)
class Log:
    """Positive values low to high at places start to end, equal ratios at equal distances."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = log10(value / self.low) / log10(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            values = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) <= most:
                break
        return inside


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 × 10ⁿ that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * (1 - 1e-9))


def positive(values: list[float], start: float, end: float) -> Scale:
    """A scale for positive values: logarithmic if they span more than a decade."""
    low, high = min(values), max(values)
    if high / low > DECADE:
        return Log(low / 1.15, high * 1.15, start, end)
    padding = max(0.08 * (high - low), 0.02 * high)
    return Linear(max(0.0, low - padding), high + padding, start, end)


def shares(values: list[float], start: float, end: float) -> Linear:
    """A scale for percentages, within 0 to 100."""
    low, high = min(values), max(values)
    padding = max(0.08 * (high - low), 0.2)
    return Linear(max(0.0, low - padding), min(100.0, high + padding), start, end)
