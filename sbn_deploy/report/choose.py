"""The answers that a report opens with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from sbn_deploy.tasks import find

from .content import Choice, Comparison, Evaluated, Point, Profiled, RatioRow, TaskEvaluated
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
from .names import engine_name
from .pareto import WITHIN, fastest_within


def choices(
    comparisons: Sequence[Comparison],
    ratios: Sequence[RatioRow],
    evaluations: Sequence[Evaluated],
    tasks: Sequence[TaskEvaluated],
    profiles: Sequence[Profiled],
) -> list[Choice]:
    """One answer for each machine and set of images, from its smallest batch.

    Without times: the most accurate model for each set of images, the best one of each task
    and data. Without either: what to mend first in each profiled model.
    """
    seen = set()
    found = []
    several = len({comparison.machine for comparison in comparisons}) > 1
    for i, comparison in enumerate(comparisons):
        place = (comparison.machine, comparison.data, comparison.images)
        if place not in seen and comparison.points:
            seen.add(place)
            found.append(_of_comparison(i, comparison, ratios, tasks, several))
    if found:
        return found
    return [*_of_evaluations(evaluations), *_of_tasks(tasks)] or list(_of_profiles(profiles))


def described(point: Point) -> str:
    """A point in words: model, engine and threads."""
    threads = point.timing.threads
    return (
        f"{point.model} in {engine_name(point.timing.engine)} on"
        f" {threads} thread{'s' if threads > 1 else ''}"
    )


def _of_comparison(
    i: int,
    comparison: Comparison,
    ratios: Sequence[RatioRow],
    tasks: Sequence[TaskEvaluated],
    several: bool,
) -> Choice:
    known = [(point, point.accuracy) for point in comparison.points if point.accuracy]
    where = f" on {comparison.machine}" if several else ""
    if not known:
        fastest = comparison.points[0]
        measured = [entry for entry in tasks if entry.evaluation.model.sha256 == fastest.sha256]
        return Choice(
            kind="fastest",
            text=f"{described(fastest)} is the fastest{where}",
            detail=""
            if measured
            else "Accuracy was not measured for any of these models: add a measurement of"
            " sbn evaluate to see what the speed costs.",
            comparison=i,
            model=fastest.model,
            engine=fastest.timing.engine,
            threads=fastest.timing.threads,
            figures=[*_figures(comparison, fastest, ratios), *map(_main, measured)],
        )
    chosen, accuracy = known[
        fastest_within([p.timing.p50_ms for p, _ in known], [a.value for _, a in known])
    ]
    best, top = max(known, key=lambda entry: (entry[1].value, -entry[0].timing.p50_ms))
    if len(known) == 1:
        text = (
            f"{described(chosen)} classifies {percent(accuracy.value)} correctly in"
            f" {milliseconds(chosen.timing.p50_ms)}{where}"
        )
    else:
        text = (
            f"{described(chosen)} is the fastest within {100 * WITHIN:.0f} point of the best"
            f" accuracy{where}"
        )
    details = []
    if len(known) > 1 and best is chosen:
        details.append("It is the most accurate, too.")
    elif best is not chosen:
        slower = times(best.timing.p50_ms / chosen.timing.p50_ms)
        details.append(
            f"The most accurate, {described(best)}, reaches {percent(top.value)}"
            f" ({percent_interval(top.low, top.high)}) and takes {slower} the time,"
            f" {milliseconds(best.timing.p50_ms)}."
        )
    half = (accuracy.high - accuracy.low) / 2
    if len(known) > 1 and half > WITHIN / 2:
        details.append(
            f"With {count(accuracy.images)} images an accuracy is known to about"
            f" ±{100 * half:.1f} points: models that differ by less may be equally good."
            + (" More images would tell them apart." if half > WITHIN else "")
        )
    return Choice(
        kind="fastest accurate",
        text=text,
        detail=" ".join(details),
        comparison=i,
        model=chosen.model,
        engine=chosen.timing.engine,
        threads=chosen.timing.threads,
        figures=_figures(comparison, chosen, ratios),
    )


def _figures(
    comparison: Comparison, point: Point, ratios: Sequence[RatioRow]
) -> list[tuple[str, str, str]]:
    """What is known of a chosen point: name, value, what stands behind the value."""
    timing = point.timing
    size = "1 image" if timing.batch == 1 else f"{timing.batch} images"
    bounds = (
        f"{milliseconds_interval(timing.p50_low_ms, timing.p50_high_ms)}, {size}"
        if timing.p50_low_ms is not None and timing.p50_high_ms is not None
        else size
    )
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
        if same and load and row.engine == "onnxruntime-fp32" and timing.engine == "sbn":
            bounds = "" if row.low is None else f"{interval(row.low, row.high)}× in paired rounds"
            found.append(("faster than fp32", times(row.ratio), bounds))
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
                f"{percent_interval(scores.low, scores.high)}, {count(images)} images of {data}",
            )
        ]
        if scores.ece is not None:
            figures.append(("calibration error", percent(scores.ece), "expected, over 15 bins"))
        if scores.nll is not None:
            figures.append(("log-likelihood", f"{number(scores.nll)} nats", "negative, mean"))
        yield Choice(
            kind="best",
            text=what,
            detail="Latency was not measured: add a measurement of sbn benchmark to see what the"
            " accuracy costs.",
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
            detail="Latency was not measured: add a measurement of sbn benchmark to see what it"
            " costs.",
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
            (profile.mend_first.name, profile.mend_first.why)
            if profile.mend_first
            else (slowest.name, f"it takes {percent(slowest.share, 0)} of the time")
        )
        total = profile.total_us or sum(layer.us for layer in profile.layers)
        yield Choice(
            kind="mend",
            text=f"{entry.model}: mend {name} first",
            detail=f"{why[:1].upper()}{why[1:].rstrip('.')}.",
            comparison=None,
            model=entry.model,
            engine="sbn",
            threads=profile.threads,
            figures=[
                ("all layers", milliseconds(total / 1e3), f"{len(profile.layers)} layers"),
                ("longest", milliseconds(slowest.us / 1e3), slowest.name),
            ],
        )
