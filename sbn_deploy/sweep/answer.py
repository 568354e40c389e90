"""Which form to ship: the most accurate in time, or the fastest that is accurate enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """A model in one engine, with what it takes for a call on one image and how good it is.

    `low` to `high` and `p50_low_ms` to `p50_high_ms` are 95 % intervals.
    """

    model: str
    engine: str
    threads: int
    accuracy: float
    low: float
    high: float
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    file_bytes: int


@dataclass(frozen=True)
class Answer:
    """What to ship.

    Attributes:
        best: the best candidate by the figures; None if none will do.
        faster: the fastest that will do and whose interval of accuracy holds the best's
            accuracy: on these images they cannot be told apart. None if that is the best.
        closest: where none will do, the one that comes closest.
    """

    best: Candidate | None
    faster: Candidate | None
    closest: Candidate | None


def candidates(
    evaluations: Iterable[Mapping[str, Any]], benchmarks: Iterable[Mapping[str, Any]]
) -> list[Candidate]:
    """What measurements know both accuracy and latency of, by the SHA-256 of the model file."""
    scores = {record["model"]["sha256"]: record["scores"] for record in evaluations}
    found: dict[tuple[str, str, int], Candidate] = {}
    for record in benchmarks:
        digests = {model["name"]: model["sha256"] for model in record["models"]}
        for result in record["results"]:
            score = scores.get(digests[result["model"]])
            key = result["model"], result["engine"], result["threads"]
            # What is compared with other engines was timed before.
            if score is None or result["batch"] != 1 or key in found:
                continue
            found[key] = Candidate(
                model=result["model"],
                engine=result["engine"],
                threads=result["threads"],
                accuracy=score["accuracy"],
                low=score["low"],
                high=score["high"],
                p50_ms=result["p50_ms"],
                p50_low_ms=result["p50_low_ms"] or result["p50_ms"],
                p50_high_ms=result["p50_high_ms"] or result["p50_ms"],
                file_bytes=result["file_bytes"] or 0,
            )
    return list(found.values())


def front(found: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other beats in both accuracy and time, the fastest first."""
    ordered = sorted(found, key=lambda one: (one.p50_ms, -one.accuracy))
    kept: list[Candidate] = []
    for one in ordered:
        if not kept or one.accuracy > kept[-1].accuracy:
            kept.append(one)
    return kept


def answer(
    found: Sequence[Candidate], *, budget_ms: float | None = None, min_accuracy: float | None = None
) -> Answer:
    """What to ship of at least one candidate.

    Args:
        budget_ms: the upper end of the median's interval must not be above it.
        min_accuracy: accuracy must not be below it. The fastest that reaches it is the best;
            without it, the most accurate within the budget.
    """
    fits = [
        one
        for one in found
        if (budget_ms is None or one.p50_high_ms <= budget_ms)
        and (min_accuracy is None or one.accuracy >= min_accuracy)
    ]
    if not fits:
        in_time = [one for one in found if budget_ms is None or one.p50_high_ms <= budget_ms]
        near = max(in_time, key=_by_accuracy) if in_time else min(found, key=lambda one: one.p50_ms)
        return Answer(None, None, near)
    if min_accuracy is not None:
        return Answer(min(fits, key=lambda one: (one.p50_ms, -one.accuracy)), None, None)
    best = max(fits, key=_by_accuracy)
    alike = [one for one in fits if one.high >= best.accuracy]
    faster = min(alike, key=lambda one: one.p50_ms)
    return Answer(best, None if faster is best else faster, None)


def _by_accuracy(one: Candidate) -> tuple[float, float]:
    return one.accuracy, -one.p50_ms
