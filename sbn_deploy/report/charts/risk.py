"""Risk-coverage curve: how many errors remain if the least certain images are left to others?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from markupsafe import Markup

from ..figures import percent, short
from .markers import marker
from .scale import Linear, round_step
from .svg import drawing, element, line, mark, text

SIZE = 340
# Below this coverage a single error dominates the curve.
SHOWN_FROM = 0.05
MARKED = (0.5, 0.8, 0.9, 0.95, 1.0)


def risk_chart(name: str, coverage: Sequence[float], risk: Sequence[float], series: int) -> Markup:
    """Errors among the images answered, by the share of images answered; both rise to 1.

    series: colour and symbol of the model.
    """
    left, top, right, bottom = 44.0, 26.0, SIZE - 12.0, 356.0
    highest = max((r for c, r in zip(coverage, risk, strict=True) if c >= SHOWN_FROM), default=0)
    step = round_step(max(100 * highest, 0.5) / 5)
    ceiling = step * -(-max(100 * highest, 0.5) // step)
    x, y = Linear(0, 100, left, right), Linear(0, ceiling, bottom, top)
    marks = [text(0, 12, "errors among those answered, %", class_="axis")]
    for value in y.ticks(6):
        marks.append(line(left, y(value), right, y(value), "grid"))
        marks.append(text(left - 8, y(value) + 4, short(value), class_="tick", anchor="end"))
    for value in (0, 25, 50, 75, 100):
        marks.append(line(x(value), top, x(value), bottom, "grid"))
        marks.append(text(x(value), bottom + 16, str(value), class_="tick", anchor="middle"))
    places = [
        f"{x(100 * c):.1f} {y(min(ceiling, 100 * r)):.1f}"
        for c, r in zip(coverage, risk, strict=True)
    ]
    marks.append(element("path", d="M" + "L".join(places), class_=f"curve c{series}"))
    said = []
    for share in MARKED:
        i = min(bisect_left(coverage, share - 1e-9), len(coverage) - 1)
        tip = f"{percent(coverage[i], 1)} answered: {percent(risk[i])} errors"
        said.append(tip)
        height = y(min(ceiling, 100 * risk[i]))
        marks.append(mark(tip, marker(series, x(100 * coverage[i]), height, 4.5)))
    marks.append(text(right, bottom + 34, "images answered, %", class_="axis", anchor="end"))
    return drawing(name, SIZE, bottom + 40, "Risk-coverage curve", "; ".join(said), marks)
