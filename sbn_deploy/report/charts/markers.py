"""Marker shapes: with colours, two ways to tell series apart."""

from __future__ import annotations

from math import sqrt

from markupsafe import Markup

from .svg import element

SHAPES = ("circle", "square", "triangle", "diamond", "down", "cross", "plus", "hexagon")


def marker(series: int, x: float, y: float, radius: float, class_: str = "") -> Markup:
    """The marker of a series, of about the same area whatever its shape."""
    shape = SHAPES[series % len(SHAPES)]
    style = f"m c{series % len(SHAPES)} {class_}".strip()
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=radius, class_=style)
    return element("path", d=_path(shape, x, y, radius), class_=style)


def legend_marker(series: int) -> Markup:
    """A marker for the legend, outside of a picture."""
    return element(
        "svg",
        marker(series, 8, 8, 5),
        viewBox="0 0 16 16",
        width=16,
        height=16,
        aria_hidden="true",
    )


def _path(shape: str, x: float, y: float, r: float) -> str:
    points: list[tuple[float, float]]
    if shape == "square":
        a = 0.88 * r
        points = [(-a, -a), (a, -a), (a, a), (-a, a)]
    elif shape in ("triangle", "down"):
        a = 1.2 * r if shape == "triangle" else -1.2 * r
        points = [(0, -a), (0.9 * a, 0.62 * a), (-0.9 * a, 0.62 * a)]
    elif shape == "diamond":
        a = 1.22 * r
        points = [(0, -a), (a, 0), (0, a), (-a, 0)]
    elif shape == "hexagon":
        a, b = 1.08 * r, 1.08 * r * sqrt(3) / 2
        points = [(a, 0), (a / 2, b), (-a / 2, b), (-a, 0), (-a / 2, -b), (a / 2, -b)]
    else:
        a, b = 1.15 * r, 0.4 * r
        points = [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b)]
        points += [(-px, -py) for px, py in points]
        if shape == "cross":
            points = [((px - py) / sqrt(2), (px + py) / sqrt(2)) for px, py in points]
    return "M" + "L".join(f"{x + px:.1f} {y + py:.1f}" for px, py in points) + "Z"
