"""Which model to ship: the one decision, and the Pareto front, of reports, sweeps and cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sbn_deploy.records.sweep import Limits

from .content import Accuracy, Point

# Without limits, how much accuracy the faster model may lose.
WITHIN = 0.01
# And how much if these images do not show that it is less accurate at all.
AT_MOST = 0.05
# 0.97 is not below 0.98 - 0.01, despite binary fractions.
_EPSILON = 1e-9
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Decision:
    """What to ship.

    Attributes:
        ship: None if nothing keeps within the limits.
        most_accurate: of those within the limits whose accuracy is known.
        faster: the fastest within the limits whose confidence interval holds the accuracy of
            `ship`, where that is not the fastest: on these images they do not differ significantly.
        closest: where nothing keeps within the limits, what comes closest.
    """

    ship: Point | None
    most_accurate: Point | None = None
    faster: Point | None = None
    closest: Point | None = None


def with_front(points: Sequence[Point]) -> list[Point]:
    """The points, each with whether it is on the Pareto front.

    A point is, unless another one is both as fast and as accurate, and better in one of the two.
    Points of unknown accuracy are not.
    """
    known = [(point.timing.p50_ms, -point.accuracy.value) for point in points if point.accuracy]
    front = set()
    best: tuple[float, float] | None = None
    for ms, loss in sorted(set(known)):
        if best is None or loss < best[1]:
            best = (ms, loss)
            front.add(best)
    return [
        replace(
            point,
            on_front=point.accuracy is not None
            and (point.timing.p50_ms, -point.accuracy.value) in front,
        )
        for point in points
    ]


def decide(points: Sequence[Point], limits: Limits = NO_LIMITS) -> Decision:
    """What to ship of at least one point.

    - With a least accuracy, the fastest that reaches it.
    - With a budget only, the most accurate in time.
    - Without limits, the fastest whose accuracy is at most WITHIN below the best one, or at most
      AT_MOST, if its confidence interval holds the best: a few images more or less are no reason
      for a network that is several times slower.
    - Where no accuracy is known, the fastest.

    Of equally good points, the more accurate or faster, then the first by name.
    """
    known = [(point, point.accuracy) for point in points if point.accuracy is not None]
    if not known and limits.min_accuracy is None:
        fitting = [point for point in points if _in_time(point, limits)]
        ship = min(fitting, key=_speed, default=None)
        return Decision(ship, closest=None if ship else min(points, key=_speed))
    fits = [
        (point, accuracy)
        for point, accuracy in known
        if _in_time(point, limits) and accuracy.value >= (limits.min_accuracy or 0)
    ]
    if not fits:
        in_time = [point for point, _ in known if _in_time(point, limits)]
        closest = min(in_time, key=_loss) if in_time else min(points, key=_speed)
        return Decision(None, closest=closest)
    best = min((point for point, _ in fits), key=_loss)
    if limits.min_accuracy is not None:
        ship = min((point for point, _ in fits), key=_speed)
    elif limits.budget_ms is not None:
        ship = best
    else:
        top = _accuracy(best).value
        ship = min((point for point, accuracy in fits if _alike(accuracy, top)), key=_speed)
    alike = [point for point, accuracy in fits if accuracy.high >= _accuracy(ship).value]
    faster = min(alike, key=_speed)
    return Decision(ship, best, faster if faster.timing.p50_ms < ship.timing.p50_ms else None)


def _alike(accuracy: Accuracy, best: float) -> bool:
    loss = best - accuracy.value - _EPSILON
    return loss <= WITHIN or (loss <= AT_MOST and accuracy.high >= best)


def _in_time(point: Point, limits: Limits) -> bool:
    if limits.budget_ms is None:
        return True
    timing = point.timing
    return (timing.prediction_high_ms or timing.p50_ms) <= limits.budget_ms


def _accuracy(point: Point) -> Accuracy:
    assert point.accuracy is not None
    return point.accuracy


def _speed(point: Point) -> tuple[object, ...]:
    accuracy = point.accuracy.value if point.accuracy else 0.0
    return point.timing.p50_ms, -accuracy, point.model, point.timing.engine, point.timing.threads


def _loss(point: Point) -> tuple[object, ...]:
    return -_accuracy(point).value, *_speed(point)
