"""Reliability diagram: does confidence match accuracy?"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sbn_deploy.evaluate.scores import wilson_interval
from sbn_deploy.records.evaluation import ReliabilityBin

from ..figures import count, percent
from .markers import marker
from .scale import Linear
from .svg import drawing, line, mark, rect, text

SIZE = 340
PLOT = 260
COUNTS = 56


def reliability_chart(
    name: str, bins: Sequence[ReliabilityBin], series: int, before: Sequence[ReliabilityBin] = ()
) -> Markup:
    """Accuracy against confidence, and below it how many images have each confidence.

    series: colour and symbol of the model; before: the same without calibration, as hollow
    markers.
    """
    left, top = 44.0, 26.0
    bottom, right = top + PLOT, SIZE - 12.0
    x, y = Linear(0, 100, left, right), Linear(0, 100, bottom, top)
    foot = bottom + 14 + COUNTS
    most = max(entry.count for entry in bins)
    marks = [text(0, 12, "accuracy, %", class_="axis")]
    for value in (0, 25, 50, 75, 100):
        marks.append(line(left, y(value), right, y(value), "grid"))
        marks.append(line(x(value), top, x(value), bottom, "grid"))
        marks.append(text(left - 8, y(value) + 4, str(value), class_="tick", anchor="end"))
        marks.append(text(x(value), foot + 16, str(value), class_="tick", anchor="middle"))
    marks.append(line(x(0), y(0), x(100), y(100), "ideal"))
    for entry in before:
        if entry.count:
            place = x(100 * entry.confidence), y(100 * entry.accuracy)
            tip = (
                f"before calibration\nconfidence {percent(entry.confidence, 1)}\n"
                f"accuracy {percent(entry.accuracy, 1)}\n{count(entry.count)} images"
            )
            marks.append(mark(tip, marker(series, *place, 4.5, "behind")))
    filled = [entry for entry in bins if entry.count]
    for entry in filled:
        low, high = wilson_interval(round(entry.accuracy * entry.count), entry.count)
        px, py = x(100 * entry.confidence), y(100 * entry.accuracy)
        bar = COUNTS * entry.count / most
        start = x(100 * entry.low)
        marks.append(
            mark(
                f"confidence {percent(entry.confidence, 1)}\naccuracy {percent(entry.accuracy, 1)}"
                f" (95 %: {100 * low:.1f} to {100 * high:.1f} %)\n{count(entry.count)} images",
                line(px, y(100 * low), px, y(100 * high), f"bar c{series}"),
                marker(series, px, py, 4.5),
                rect(
                    start + 1,
                    foot - bar,
                    max(1.0, x(100 * entry.high) - start - 2),
                    bar,
                    class_="count",
                ),
            )
        )
    marks.append(line(left, foot, right, foot, "base"))
    marks.append(text(left + 2, bottom + 22, "images", class_="soft"))
    marks.append(text(right, foot + 34, "confidence, %", class_="axis", anchor="end"))
    description = "; ".join(
        f"confidence {percent(entry.confidence, 0)}: accuracy {percent(entry.accuracy, 0)} of"
        f" {count(entry.count)} images"
        for entry in filled
    )
    return drawing(name, SIZE, foot + 40, "Reliability diagram", description, marks)
