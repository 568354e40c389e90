"""Prediction sets: do they contain the truth as often as requested, and how large are they?"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sbn_deploy.records.evaluation import SetScore

from ..figures import count, number, percent, short
from .markers import marker
from .scale import Linear, round_step
from .svg import drawing, line, mark, rect, text

SIZE = 340
# Sets with more classes share a bar.
BARS = 10


def coverage_chart(name: str, sets: Sequence[SetScore], series: int) -> Markup:
    """The share of images whose set holds their class, by the share that was asked for.

    series: colour and symbol of the model.
    """
    left, top, right, bottom = 44.0, 26.0, SIZE - 12.0, 312.0
    lowest = min(min(entry.asked, entry.confidence_low) for entry in sets)
    low = 10 * int(10 * lowest - 1e-9)
    x, y = Linear(low, 100, left, right), Linear(low, 100, bottom, top)
    marks = [text(0, 12, "sets with the true class, %", class_="axis")]
    for value in x.ticks(6):
        marks.append(line(left, y(value), right, y(value), "grid"))
        marks.append(line(x(value), top, x(value), bottom, "grid"))
        marks.append(text(left - 8, y(value) + 4, short(value), class_="tick", anchor="end"))
        marks.append(text(x(value), bottom + 16, short(value), class_="tick", anchor="middle"))
    marks.append(line(x(low), y(low), x(100), y(100), "ideal"))
    said = []
    for entry in sets:
        tip = (
            f"asked for {percent(entry.asked, 1)}\nfound {percent(entry.coverage, 1)} (95 %:"
            f" {100 * entry.confidence_low:.1f} to {100 * entry.confidence_high:.1f} %)\n"
            f"{number(entry.size)} classes in a set on average"
        )
        px = x(100 * entry.asked)
        marks.append(
            mark(
                tip,
                line(
                    px,
                    y(100 * entry.confidence_low),
                    px,
                    y(100 * entry.confidence_high),
                    f"bar c{series}",
                ),
                marker(series, px, y(100 * entry.coverage), 4.5),
            )
        )
        said.append(f"asked {percent(entry.asked, 1)}: found {percent(entry.coverage, 1)}")
    marks.append(text(right, bottom + 34, "asked for, %", class_="axis", anchor="end"))
    return drawing(name, SIZE, bottom + 40, "Coverage of prediction sets", "; ".join(said), marks)


def sizes_chart(name: str, entry: SetScore) -> Markup:
    """The images by the number of classes in their set."""
    left, top, right, bottom = 44.0, 26.0, SIZE - 12.0, 196.0
    sizes = entry.sizes
    if len(sizes) > BARS:
        sizes = (*sizes[: BARS - 1], sum(sizes[BARS - 1 :]))
    total = sum(sizes)
    highest = 100 * max(sizes) / total
    step = round_step(highest / 5)
    y = Linear(0, step * -(-highest // step), bottom, top)
    width = (right - left) / len(sizes)
    marks = [text(0, 12, "images, %", class_="axis")]
    for value in y.ticks(6):
        marks.append(line(left, y(value), right, y(value), "grid"))
        marks.append(text(left - 8, y(value) + 4, short(value), class_="tick", anchor="end"))
    said = []
    for index, images in enumerate(sizes):
        more = " or more" if index + 1 == BARS < len(entry.sizes) else ""
        label = f"{index + 1}{'+' if more else ''}"
        tip = f"{index + 1}{more} classes: {count(images)} images, {percent(images / total, 1)}"
        height = bottom - y(100 * images / total)
        start = left + index * width
        marks.append(mark(tip, rect(start + 2, bottom - height, width - 4, height, class_="count")))
        marks.append(text(start + width / 2, bottom + 16, label, class_="tick", anchor="middle"))
        said.append(tip)
    marks.append(line(left, bottom, right, bottom, "base"))
    marks.append(text(right, bottom + 34, "classes in a set", class_="axis", anchor="end"))
    title = f"Sizes of the sets at {percent(entry.asked, 0)}"
    return drawing(name, SIZE, bottom + 40, title, "; ".join(said), marks)
