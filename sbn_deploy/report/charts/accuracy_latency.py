"""Accuracy against latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sbn_deploy.engines.table import shown_as
from sbn_deploy.records.benchmark import Timing

from ..content import Choice, Comparison, Point
from ..figures import milliseconds, milliseconds_interval, percent, percent_interval, short
from . import WIDE
from .labels import Box, around, place
from .looks import Looks
from .markers import marker
from .scale import Scale, positive, shares
from .svg import drawing, element, line, mark, shortened, text

RADIUS = 5.5
RING = 10.5
STRIP = 52.0
# Of more points than these, only those on the front have bars.
BARRED = 60


def accuracy_latency(
    name: str, comparison: Comparison, choice: Choice | None, looks: Looks, width: int
) -> Markup:
    """The chart. Points are numbered as the rows of the table, from 1."""
    points = comparison.points
    known = [(i, p, p.accuracy) for i, p in enumerate(points) if p.accuracy is not None]
    unknown = [(i, p) for i, p in enumerate(points) if p.accuracy is None]
    wide = width >= WIDE
    height = 430.0 if wide else 380.0
    area = Box(46, 26, width - 14, height - 48 - (STRIP if unknown else 0))
    x = positive([value for p in points for value in _bounds(p)], area.left, area.right)
    y = shares(
        [100 * value for *_, a in known for value in (a.low, a.high, a.value)],
        area.bottom,
        area.top,
    )
    group = [looks.series(p.model, p.timing.engine) for p in points]
    chosen = _chosen(points, choice) if len(known) > 1 else None
    marks = [*_axes(x, y, area, height, comparison, wide), *_front(points, x, y, area)]
    for i, point, accuracy in sorted(known, key=lambda entry: entry[1].on_front):
        cx, cy = x(point.timing.p50_ms), y(100 * accuracy.value)
        barred = point.on_front or len(points) <= BARRED
        behind = _bars(point, x, cy, y, group[i]) if barred else []
        if i == chosen:
            behind.append(element("circle", cx=cx, cy=cy, r=RING, class_="chosen"))
        marks.append(_mark(i, point, cx, cy, group[i], behind))
    if unknown:
        top = area.bottom + 8
        marks.append(line(area.left, top, area.right, top, "grid"))
        marks.append(text(area.left, top + 14, "accuracy not measured", class_="soft"))
        for i, point in unknown:
            bars = _bars(point, x, top + 28, y, group[i]) if len(points) <= BARRED else []
            marks.append(_mark(i, point, x(point.timing.p50_ms), top + 28, group[i], bars))
    places = [(x(p.timing.p50_ms), y(100 * a.value), i, p) for i, p, a in known]
    taken = [around(px, py, RING if i == chosen else RADIUS + 1) for px, py, i, _ in places]
    wanted = sorted(
        (entry for entry in places if entry[3].on_front), key=lambda entry: entry[2] != chosen
    )
    avoided = [
        Box(px - 1, y(100 * a.high), px + 1, y(100 * a.low))
        for (px, *_), (*_, a) in zip(places, known, strict=True)
    ]
    texts = [
        (px, py, 4 + (RING if i == chosen else RADIUS), _texts(i, p, wide))
        for px, py, i, p in wanted
    ]
    labels = place(texts, area, taken, avoided)
    marks.extend(
        text(label.x, label.y, label.text, class_="label") for label in labels if label is not None
    )
    return drawing(name, width, height, "Accuracy against latency", describe(comparison), marks)


def describe(comparison: Comparison) -> str:
    """The chart in words, for screen readers."""
    on_front = [
        f"{p.model} in {shown_as(p.timing.engine)}: {milliseconds(p.timing.p50_ms)},"
        f" {percent(p.accuracy.value)}"
        for p in comparison.points
        if p.on_front and p.accuracy
    ]
    return (
        f"{len(comparison.points)} points on {comparison.machine}. On the Pareto front, the fastest"
        f" first: {'; '.join(on_front)}."
    )


def _axes(
    x: Scale, y: Scale, area: Box, height: float, comparison: Comparison, wide: bool
) -> list[Markup]:
    foot = height - 32
    marks = []
    for value in y.ticks(6):
        marks.append(line(area.left, y(value), area.right, y(value), "grid"))
        marks.append(text(area.left - 8, y(value) + 4, short(value), class_="tick", anchor="end"))
    for value in x.ticks(10 if wide else 5):
        marks.append(line(x(value), area.top, x(value), foot - 14, "grid"))
        marks.append(text(x(value), foot, short(value), class_="tick", anchor="middle"))
    images = "1 image" if comparison.batch == 1 else f"{comparison.batch} images"
    marks.append(text(0, 12, "accuracy, %", class_="axis"))
    marks.append(
        text(
            area.right,
            height - 10,
            f"median time of a call of {images}, ms",
            class_="axis",
            anchor="end",
        )
    )
    return marks


def _front(points: Sequence[Point], x: Scale, y: Scale, area: Box) -> list[Markup]:
    """The best accuracy within each latency, as steps."""
    steps = [
        (x(p.timing.p50_ms), y(100 * p.accuracy.value)) for p in points if p.on_front and p.accuracy
    ]
    if not steps:
        return []
    path = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}"
    for px, py in steps[1:]:
        path += f"H{px:.1f}V{py:.1f}"
    return [element("path", d=f"{path}H{area.right:.1f}", class_="front")]


def _bars(point: Point, x: Scale, cy: float, y: Scale, group: int) -> list[Markup]:
    """The intervals of time and accuracy, as far as they are known."""
    bars = []
    style = f"bar c{group}"
    low, middle, high = _bounds(point)
    if high > low:
        bars.append(line(x(low), cy, x(high), cy, style))
    if (accuracy := point.accuracy) is not None:
        ends = (y(100 * accuracy.low), y(100 * accuracy.high))
        bars.append(line(x(middle), ends[0], x(middle), ends[1], style))
    return bars


def _mark(
    i: int, point: Point, cx: float, cy: float, group: int, behind: Sequence[Markup]
) -> Markup:
    """The marker of a point, above what is behind it."""
    hollow = point.accuracy is not None and not point.on_front
    style = "behind" if hollow else ""
    radius = RADIUS if point.on_front else RADIUS - 1
    return mark(_tip(i, point), *behind, marker(group, cx, cy, radius, style), class_=style)


def _tip(i: int, point: Point) -> str:
    timing = point.timing
    threads = f"{timing.threads} thread{'s' if timing.threads > 1 else ''}"
    lines = [
        f"{i + 1}  {point.model}",
        f"{shown_as(timing.engine)}, {threads}, {point.form}",
        _time(timing),
    ]
    if (accuracy := point.accuracy) is not None:
        bounds = percent_interval(accuracy.low, accuracy.high)
        lines.append(f"{percent(accuracy.value)} (95 %: {bounds})")
        lines.append("on the Pareto front" if point.on_front else "behind the Pareto front")
    return "\n".join(lines)


def _time(timing: Timing) -> str:
    text = milliseconds(timing.p50_ms)
    if timing.prediction_low_ms is None or timing.prediction_high_ms is None:
        return text
    interval = milliseconds_interval(timing.prediction_low_ms, timing.prediction_high_ms)
    return f"{text} (95 % prediction: {interval})"


def _texts(i: int, point: Point, wide: bool) -> list[str]:
    """The number of the row, with the model's name where there is room for it."""
    full = f"{i + 1} {shortened(point.model, 26)}"
    return [full, str(i + 1)] if wide else [str(i + 1)]


def _bounds(point: Point) -> tuple[float, float, float]:
    timing = point.timing
    low = timing.prediction_low_ms if timing.prediction_low_ms else timing.p50_ms
    high = timing.prediction_high_ms if timing.prediction_high_ms else timing.p50_ms
    return min(low, timing.p50_ms), timing.p50_ms, max(high, timing.p50_ms)


def _chosen(points: Sequence[Point], choice: Choice | None) -> int | None:
    if choice is None:
        return None
    return next(
        (
            i
            for i, p in enumerate(points)
            if p.accuracy
            and (p.model, p.timing.engine, p.timing.threads)
            == (choice.model, choice.engine, choice.threads)
        ),
        None,
    )
