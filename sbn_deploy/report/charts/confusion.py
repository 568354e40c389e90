"""Confusion matrix as a heat map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt

from markupsafe import Markup

from ..figures import count, percent
from .svg import drawing, element, mark, rect, shortened, text, text_width

NUMBERED = 20
DRAWN = 200
SHADES = 8
# Shades from here on are so dark that numbers on them are written light.
DARK = 6
LETTERS = 14


def confusion_chart(name: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Rows are true classes, columns predicted ones; shades are shares of the row.

    Args:
        counts: [K][K], K at most `DRAWN`; numbers are written for K up to `NUMBERED`.
    """
    numbered = len(classes) <= NUMBERED
    cell = 30.0 if len(classes) <= 12 else 26.0 if numbered else max(3.0, 480 / len(classes))
    names = [shortened(entry, LETTERS) for entry in classes]
    margin = max(text_width(entry, 11) for entry in names) + 10 if numbered else 16.0
    head = margin * 0.75 + 22 if numbered and max(map(len, names)) > 2 else 36.0
    side = cell * len(classes)
    left, top = margin + 18, head
    marks = [
        text(left + side, 11, "predicted class", class_="axis", anchor="end"),
        element(
            "text",
            "true class",
            class_="axis",
            text_anchor="end",
            transform=f"translate(11 {top:.1f}) rotate(-90)",
        ),
        rect(left, top, side, side, class_="matrix"),
    ]
    if numbered:
        marks += _numbered(classes, names, counts, cell, left, top)
    else:
        marks += _shaded(counts, cell, left, top)
    hits = sum(row[i] for i, row in enumerate(counts))
    total = sum(map(sum, counts))
    description = f"{count(hits)} of {count(total)} images on the diagonal, {len(classes)} classes"
    slant = text_width(names[-1], 11) * 0.7 if numbered else 0
    width = left + side + max(6.0, slant - cell / 2 if max(map(len, names)) > 2 else 6.0)
    return drawing(name, width, top + side + 6, "Confusion matrix", description, marks)


def _numbered(
    classes: Sequence[str],
    names: Sequence[str],
    counts: Sequence[Sequence[int]],
    cell: float,
    left: float,
    top: float,
) -> list[Markup]:
    marks = []
    slanted = max(map(len, names)) > 2
    for i, entry in enumerate(names):
        marks.append(
            text(left - 6, top + cell * (i + 0.5) + 4, entry, class_="cell-name", anchor="end")
        )
        x = left + cell * (i + 0.5)
        marks.append(
            element(
                "text",
                entry,
                class_="cell-name",
                text_anchor=None if slanted else "middle",
                transform=f"translate({x:.1f} {top - 6:.1f})" + (" rotate(-45)" if slanted else ""),
            )
        )
    for i, row in enumerate(counts):
        for j, images in enumerate(row):
            if not images:
                continue
            shade = _shade(images, sum(row))
            x, y = left + cell * j, top + cell * i
            marks.append(
                mark(
                    f"{classes[i]} taken for {classes[j]}\n{count(images)} of {count(sum(row))}"
                    f" images, {percent(images / sum(row), 1)}",
                    rect(x + 0.5, y + 0.5, cell - 1, cell - 1, class_=f"heat h{shade}"),
                    text(
                        x + cell / 2,
                        y + cell / 2 + 4,
                        str(images) if images < 10_000 else f"{images / 1000:.0f}k",
                        class_="cell dark" if shade >= DARK else "cell",
                        anchor="middle",
                    ),
                )
            )
    return marks


def _shaded(counts: Sequence[Sequence[int]], cell: float, left: float, top: float) -> list[Markup]:
    """One path for each shade: a thousand times less text than a rectangle for each cell."""
    paths: dict[int, list[str]] = defaultdict(list)
    for i, row in enumerate(counts):
        for j, images in enumerate(row):
            if images:
                x, y = left + cell * j, top + cell * i
                paths[_shade(images, sum(row))].append(
                    f"M{x:.1f} {y:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z"
                )
    return [
        element("path", d="".join(paths[shade]), class_=f"heat h{shade}") for shade in sorted(paths)
    ]


def _shade(images: int, row: int) -> int:
    """1 to `SHADES`; by the square root, so that a few errors can be seen beside many hits."""
    return max(1, round(SHADES * sqrt(images / row)))
