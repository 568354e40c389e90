"""Ratios of times with their intervals, a row each."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sbn_deploy.engines.table import shown_as

from ..content import RatioRow
from ..figures import interval, short, times, way
from . import WIDE
from .looks import Looks
from .markers import marker
from .scale import positive
from .svg import drawing, line, mark, shortened, text, text_width

ROW = 28.0
TALL_ROW = 44.0
# More rows would make the chart unreadable.
DRAWN = 24


def ratio_chart(name: str, rows: Sequence[RatioRow], looks: Looks, width: int) -> Markup:
    """The chart; the rows in their order, 1 to `DRAWN`."""
    wide = width >= WIDE
    left, right, step = (334.0, width - 124.0, ROW) if wide else (8.0, width - 112.0, TALL_ROW)
    top = 12.0
    bottom = top + step * len(rows)
    x = positive([1.0, *(value for row in rows for value in _bounds(row))], left, right)
    marks = []
    for value in x.ticks(8 if wide else 4):
        marks.append(line(x(value), top, x(value), bottom, "grid"))
        marks.append(
            text(x(value), bottom + 18, f"{short(value)}×", class_="tick", anchor="middle")
        )
    marks.append(line(x(1.0), top - 4, x(1.0), bottom, "one"))
    letters = int((left - 16 if wide else width) / text_width("x", 13))
    for i, row in enumerate(rows):
        y = top + step * (i + 0.5) + (0 if wide else 9)
        label = shortened(ratio_name(row, rows), letters)
        if wide:
            marks.append(text(left - 16, y + 4, label, class_="name", anchor="end"))
        else:
            marks.append(text(0, y - 14, label, class_="name"))
        low, high = _bounds(row)
        colour = looks.series(row.model, row.engine)
        marks.append(
            mark(
                f"{ratio_name(row, rows)}\n{_said(row)}",
                *([line(x(low), y, x(high), y, f"bar c{colour % 8}")] if high > low else []),
                marker(colour, x(row.ratio), y, 5),
            )
        )
        said = f"{times(row.ratio)} {way(row.ratio)}"
        marks.append(text(width, y + 4, said, class_="value", anchor="end"))
    description = "; ".join(f"{ratio_name(row, rows)}: {_said(row)}" for row in rows)
    title = "Time relative to the first model of each measurement"
    return drawing(name, width, bottom + 26, title, description, marks)


def ratio_name(row: RatioRow, rows: Sequence[RatioRow]) -> str:
    """Engine or model of a row, with what distinguishes it from the other rows."""
    engine = shown_as(row.engine)
    parts = [engine if row.model == row.base else f"{row.model}, {engine}"]
    if len({other.base for other in rows}) > 1:
        parts.append(f"vs {row.base}")
    if len({other.threads for other in rows}) > 1:
        parts.append(f"{row.threads} thread{'s' if row.threads > 1 else ''}")
    if len({other.batch for other in rows}) > 1:
        parts.append(f"batch {row.batch}")
    return ", ".join(parts)


def _said(row: RatioRow) -> str:
    """The ratio with its interval, if there is one."""
    if row.low is None or row.high is None:
        return f"{times(row.ratio)}, {way(row.ratio)}"
    return f"{times(row.ratio)}, {way(row.ratio)} (95 % prediction: {interval(row.low, row.high)})"


def _bounds(row: RatioRow) -> tuple[float, float]:
    low = row.ratio if row.low is None else min(row.low, row.ratio)
    return low, row.ratio if row.high is None else max(row.high, row.ratio)
