"""Labels beside points that do not overlap, each other or the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .svg import text_width

GAP = 9.0
SIZE = 12.0


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

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
    points: Sequence[tuple[float, float, Sequence[str]]], area: Box, taken: Sequence[Box]
) -> list[Label | None]:
    """A label for each point, the first points having the first choice.

    Args:
        points: x, y and the texts that would do, the best one first.
        area: where labels may be.
        taken: what they may not cover.

    Returns:
        For each point a label, or None where none of its texts has room.
    """
    occupied = list(taken)
    labels: list[Label | None] = []
    for x, y, texts in points:
        label = None
        for content in texts:
            for box in _boxes(x, y, text_width(content, SIZE)):
                if box.within(area) and not any(box.overlap(other) for other in occupied):
                    label = Label(content, box.left, box.bottom - 3)
                    occupied.append(box)
                    break
            if label is not None:
                break
        labels.append(label)
    return labels


def _boxes(x: float, y: float, width: float) -> list[Box]:
    """Where a label of this width may be: above, beside, below."""
    half, height = width / 2, SIZE + 2
    lefts = (x - half, x + GAP, x - GAP - width)
    rows = (y - GAP - height, y + GAP, y - height / 2, y - 2 * GAP - height, y + 2 * GAP)
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
