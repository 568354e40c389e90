"""Labels beside points that overlap neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .svg import text_width

SIZE = 12.0
# Labels are bold, and so a little wider.
BOLD = 1.14


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether both cover some place."""
        return min(self.right, other.right) > max(self.left, other.left) and min(
            self.bottom, other.bottom
        ) > max(self.top, other.top)

    def within(self, other: Box) -> bool:
        """Whether it lies in the other."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """A text that starts at x with its baseline at y."""

    text: str
    x: float
    y: float


def around(x: float, y: float, radius: float) -> Box:
    """The square around a point."""
    return Box(x - radius, y - radius, x + radius, y + radius)


def place(
    points: Sequence[tuple[float, float, float, Sequence[str]]],
    area: Box,
    taken: Sequence[Box],
    avoided: Sequence[Box],
) -> list[Label | None]:
    """A label for each point, the first points having the first choice.

    Args:
        points: x, y, how far from there a label begins, and the texts that would do, the best
            one first.
        area: where labels may be.
        taken: what they may not cover.
        avoided: what they cover only if there is no other place.

    Returns:
        For each point a label, or None where none of its texts has room.
    """
    occupied = list(taken)
    labels: list[Label | None] = []
    for x, y, gap, texts in points:
        label = None
        for content in texts:
            free = [
                box
                for box in _boxes(x, y, gap, BOLD * text_width(content, SIZE))
                if box.within(area) and not any(map(box.overlaps, occupied))
            ]
            if free:
                clear = (box for box in free if not any(map(box.overlaps, avoided)))
                box = next(clear, free[0])
                label = Label(content, box.left, box.bottom - 3)
                occupied.append(box)
                break
        labels.append(label)
    return labels


def _boxes(x: float, y: float, gap: float, width: float) -> list[Box]:
    """Where a label of this width may be: above, beside, below."""
    half, height = width / 2, SIZE + 2
    lefts = (x - half, x + gap, x - gap - width)
    rows = (y - gap - height, y + gap, y - height / 2, y - 2 * gap - height, y + 2 * gap)
    corners = [
        (lefts[2], rows[0]),
        (lefts[0], rows[0]),
        (lefts[1], rows[2]),
        (lefts[1], rows[1]),
        (lefts[0], rows[1]),
        (lefts[2], rows[2]),
        (lefts[1], rows[0]),
        (lefts[2], rows[1]),
        (lefts[0], rows[3]),
        (lefts[0], rows[4]),
        (lefts[1], rows[4]),
        (lefts[2], rows[3]),
    ]
    return [Box(left, top, left + width, top + height) for left, top in corners]
