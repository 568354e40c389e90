"""The recommendations at the top of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

from sbn_deploy.engines.table import FP32, SBN, shown_as
from sbn_deploy.records.sweep import Limits
from sbn_deploy.tasks import find

from .content import (
    Accuracy,
    Choice,
    Comparison,
    Evaluated,
    Point,
    Profiled,
    RatioRow,
    TaskEvaluated,
)
from .decide import NO_LIMITS, WITHIN, Decision, decide
from .figures import (
    count,
    interval,
    kilobytes,
    milliseconds,
    milliseconds_interval,
    number,
    percent,
    percent_interval,
    times,
)


def choices(
    comparisons: Sequence[Comparison],
    ratios: Sequence[RatioRow],
    evaluations: Sequence[Evaluated],
    tasks: Sequence[TaskEvaluated],
    profiles: Sequence[Profiled],
    limits: Limits = NO_LIMITS,
) -> list[Choice]:
    """One answer for each machine and set of images, from its smallest batch.

    Without times: the most accurate model for each set of images, the best one of each task
    and data. Without either: the bottleneck of each profiled model.
    """
    seen = set()
    found = []
    several = len({comparison.machine for comparison in comparisons}) > 1
    for i, comparison in enumerate(comparisons):
        place = (comparison.machine, comparison.data, comparison.images)
        if place not in seen and comparison.points:
            seen.add(place)
            found.append(_of_comparison(i, comparison, ratios, tasks, several, limits))
    if found:
        return found
    return [*_of_evaluations(evaluations), *_of_tasks(tasks)] or list(_of_profiles(profiles))


def described(point: Point) -> str:
    """A point in words: model, engine and threads."""
    threads = point.timing.threads
    return (
        f"{point.model} in {shown_as(point.timing.engine)} on"
        f" {threads} thread{'s' if threads > 1 else ''}"
    )


def _of_comparison(
    i: int,
    comparison: Comparison,
    ratios: Sequence[RatioRow],
    tasks: Sequence[TaskEvaluated],
    several: bool,
    limits: Limits,
) -> Choice:
    where = f" on {comparison.machine}" if several else ""
    decision = decide(comparison.points, limits)
    point = decision.ship or decision.closest
    assert point is not None
    figures = _figures(comparison, point, ratios)
    kind: Literal["ship", "none", "fastest"] = "ship"
    if decision.ship is None:
        kind = "none"
        text = f"nothing is {wish(limits)}{where}; the closest is {described(point)}"
        detail = ""
    elif point.accuracy is None:
        kind = "fastest"
        measured = [entry for entry in tasks if entry.evaluation.model.sha256 == point.sha256]
        figures += map(_main, measured)
        text = f"{described(point)} is the fastest{where}"
        detail = (
            ""
            if measured
            else "Accuracy was not measured for any of these models: add a measurement of `sbn"
            " evaluate` to see what the speed costs."
        )
    else:
        text, detail = _shipped(comparison, point, point.accuracy, decision, limits, where)
    return Choice(
        kind=kind,
        text=text,
        detail=detail,
        comparison=i,
        model=point.model,
        engine=point.timing.engine,
        threads=point.timing.threads,
        figures=figures,
    )


def _shipped(
    comparison: Comparison,
    point: Point,
    accuracy: Accuracy,
    decision: Decision,
    limits: Limits,
    where: str,
) -> tuple[str, str]:
    """The answer and its caveats."""
    best = decision.most_accurate
    assert best is not None
    assert best.accuracy is not None
    known = sum(point.accuracy is not None for point in comparison.points)
    if known == 1:
        text = (
            f"{described(point)} classifies {percent(accuracy.value)} correctly in"
            f" {milliseconds(point.timing.p50_ms)}{where}"
        )
    elif limits == NO_LIMITS:
        best_of = decision.most_accurate or point
        loss = (best_of.accuracy or accuracy).value - accuracy.value
        kept = "whose accuracy does not differ significantly from the best"
        if loss <= WITHIN:
            kept = f"within {100 * WITHIN:.0f} point of the best accuracy"
        text = f"{described(point)} is the fastest {kept}{where}"
    else:
        what = "most accurate" if limits.min_accuracy is None else "fastest"
        text = f"{described(point)} is the {what} {wish(limits)}{where}"
    details = []
    if known > 1 and best is point:
        details.append("It is also the most accurate." if limits == NO_LIMITS else "")
    elif best is not point:
        slower = times(best.timing.p50_ms / point.timing.p50_ms)
        details.append(
            f"The most accurate, {described(best)}, reaches {percent(best.accuracy.value)}"
            f" ({percent_interval(best.accuracy.low, best.accuracy.high)}) and takes {slower} the"
            f" time, {milliseconds(best.timing.p50_ms)}."
        )
    if decision.faster is not None:
        details.append(
            f"Faster, with no significant loss of accuracy: {described(decision.faster)},"
            f" {milliseconds(decision.faster.timing.p50_ms)}."
        )
    half = (accuracy.high - accuracy.low) / 2
    if known > 1 and half > WITHIN / 2:
        details.append(
            f"With {count(accuracy.images)} images, accuracy is known to about ±{100 * half:.1f}"
            " points: models that differ by less may be equally good."
            + (" More images would distinguish them." if half > WITHIN else "")
        )
    return text, " ".join(filter(None, details))


def wish(limits: Limits) -> str:
    """What the user asks for, in words."""
    said = []
    if limits.budget_ms is not None:
        said.append(f"within {limits.budget_ms:g} ms")
    if limits.min_accuracy is not None:
        said.append(f"with an accuracy of at least {percent(limits.min_accuracy)}")
    return " and ".join(said)


def _figures(
    comparison: Comparison, point: Point, ratios: Sequence[RatioRow]
) -> list[tuple[str, str, str]]:
    """What is known of a chosen point: name, value, what stands behind the value."""
    timing = point.timing
    size = "1 image" if timing.batch == 1 else f"{timing.batch} images"
    low, high = timing.prediction_low_ms, timing.prediction_high_ms
    bounds = size
    if low is not None and high is not None:
        bounds = f"next time {milliseconds_interval(low, high)}, {size}"
    found = [("median latency", milliseconds(timing.p50_ms), bounds)]
    if (accuracy := point.accuracy) is not None:
        found.append(
            (
                "accuracy",
                percent(accuracy.value),
                f"{percent_interval(accuracy.low, accuracy.high)},"
                f" {count(accuracy.images)} images of {accuracy.data}",
            )
        )
    for row in ratios:
        same = (row.base, row.model, row.machine) == (point.model, point.model, comparison.machine)
        load = (row.threads, row.batch) == (timing.threads, timing.batch)
        if same and load and row.engine == FP32 and timing.engine == SBN:
            bounds = "" if row.low is None else f"{interval(row.low, row.high)}× in paired rounds"
            if row.ratio >= 1:
                found.append(("faster than fp32", times(row.ratio), bounds))
            else:
                found.append(("slower than fp32", times(1 / row.ratio), ""))
            break
    if timing.file_bytes is not None:
        found.append(("file", f"{kilobytes(timing.file_bytes)} kB", point.form))
    if timing.peak_bytes is not None:
        found.append(("peak memory", f"{number(timing.peak_bytes / 1e6)} MB", "to load and run it"))
    return found


def _of_evaluations(evaluations: Sequence[Evaluated]) -> Iterator[Choice]:
    sets = dict.fromkeys((e.evaluation.data.name, e.evaluation.scores.samples) for e in evaluations)
    for data, images in sets:
        candidates = [
            e
            for e in evaluations
            if (e.evaluation.data.name, e.evaluation.scores.samples) == (data, images)
        ]
        best = max(candidates, key=lambda e: e.evaluation.scores.accuracy)
        scores = best.evaluation.scores
        what = (
            f"{best.model} is the most accurate of {len(candidates)} models"
            if len(candidates) > 1
            else f"{best.model} classifies {percent(scores.accuracy)} correctly"
        )
        figures = [
            (
                "accuracy",
                percent(scores.accuracy),
                f"{percent_interval(scores.confidence_low, scores.confidence_high)},"
                f" {count(images)} images of {data}",
            )
        ]
        if scores.ece is not None:
            figures.append(("calibration error", percent(scores.ece), "expected, over 15 bins"))
        if scores.nll is not None:
            figures.append(("log-likelihood", f"{number(scores.nll)} nats", "negative, mean"))
        yield Choice(
            kind="best",
            text=what,
            detail="Latency was not measured: add a measurement of `sbn benchmark` to see what"
            " the accuracy costs.",
            comparison=None,
            model=best.model,
            engine=best.evaluation.engine,
            threads=None,
            figures=figures,
        )


def _of_tasks(tasks: Sequence[TaskEvaluated]) -> Iterator[Choice]:
    for (task, data, _), group in groupby(tasks, key=lambda e: _place(e)):
        candidates = list(group)
        main = find(task).main
        known = [e for e in candidates if e.evaluation.metrics[0].value is not None]
        if not known:
            continue
        sign = 1 if main.better == "higher" else -1
        best = max(known, key=lambda e: sign * (e.evaluation.metrics[0].value or 0))
        value = main.show(best.evaluation.metrics[0].value)
        yield Choice(
            kind="best",
            text=f"{best.model} is the best of {len(candidates)} models for {task}"
            if len(candidates) > 1
            else f"{best.model} reaches {value}, {main.title}, on {data}",
            detail="Latency was not measured: add a measurement of `sbn benchmark` to see what"
            " it costs.",
            comparison=None,
            model=best.model,
            engine=best.evaluation.engine,
            threads=None,
            figures=[_main(best)],
        )


def _place(entry: TaskEvaluated) -> tuple[str, str, int]:
    body = entry.evaluation
    return body.task, body.data.name, body.data.images


def _main(entry: TaskEvaluated) -> tuple[str, str, str]:
    """The main metric of a task."""
    body = entry.evaluation
    main = find(body.task).main
    behind = f"{count(body.data.images)} inputs of {body.data.name}"
    return main.title, main.show(body.metrics[0].value), behind


def _of_profiles(profiles: Sequence[Profiled]) -> Iterator[Choice]:
    for entry in profiles:
        profile = entry.profile
        slowest = max(profile.layers, key=lambda layer: layer.us)
        name, why = (
            (profile.bottleneck.name, profile.bottleneck.why)
            if profile.bottleneck
            else (slowest.name, f"it takes {percent(slowest.share, 0)} of the time")
        )
        total = sum(layer.us for layer in profile.layers)
        yield Choice(
            kind="bottleneck",
            text=f"{entry.model}: the bottleneck is {name}",
            detail=f"{why[:1].upper()}{why[1:].rstrip('.')}.",
            comparison=None,
            model=entry.model,
            engine=profile.engine,
            threads=profile.threads,
            figures=[
                ("all layers", milliseconds(total / 1e3), f"{len(profile.layers)} layers"),
                ("longest", milliseconds(slowest.us / 1e3), slowest.name),
            ],
        )
