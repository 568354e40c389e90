"""What `sbn benchmark` measures: times, ratios, the machine's state, accuracy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.accuracy.scores import classify, score
from sbn_deploy.measure.cpu_state import CpuState, read_state
from sbn_deploy.measure.latency.bootstrap import ratio, ratio_interval
from sbn_deploy.measure.latency.energy import find_meter
from sbn_deploy.measure.latency.neighbours import Neighbours
from sbn_deploy.measure.latency.sessions import Measured, measure_sessions
from sbn_deploy.measure.latency.stability import RULE, instability
from sbn_deploy.measure.latency.timing import Timing, pinned, summarise
from sbn_deploy.measure.latency.worker import Spec
from sbn_deploy.measure.machine import describe
from sbn_runtime import Session


@dataclass(frozen=True)
class Settings:
    """How to measure, as the options of `sbn benchmark`.

    Every number of threads is measured with every batch. `runs` are the timed calls of each
    engine, as far as `max_seconds`, for everything together, allow.
    """

    threads: Sequence[int]
    batch: Sequence[int]
    runs: int
    warmup: int
    max_seconds: float


@dataclass(frozen=True)
class Result:
    """The figures of one engine with one number of threads and one batch.

    Attributes:
        model, engine: of its `Spec`; the others as in `Timing`, but for:
        mode: for LCE, which of its modes was the faster.
        start_ms: what the start of a session takes, median over the sessions.
        peak_bytes, process_bytes: see `worker.Started`; the largest of the sessions.
        file_bytes: of the file that the engine runs; None for torch.
        joules_per_image: what the processor took meanwhile; None where it does not say.
        overhead_us: what measuring adds to a call, contained in the times.
    """

    model: str
    engine: str
    mode: str | None
    threads: int
    batch: int
    runs: int
    p50_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p90_ms: float
    p99_ms: float
    min_ms: float
    images_per_s: float
    start_ms: float | None
    peak_bytes: int | None
    process_bytes: int | None
    file_bytes: int | None
    joules_per_image: float | None
    spread: float
    drift: float
    overhead_us: float | None


@dataclass(frozen=True)
class Ratio:
    """How many times as long another engine or model takes as the first model in our engine.

    `low` to `high` is where the ratio of the next measurement falls, see `bootstrap`; None
    after a single round.
    """

    model: str
    engine: str
    threads: int
    batch: int
    ratio: float
    low: float | None
    high: float | None


def timed(
    specs: Sequence[Spec],
    settings: Settings,
    *,
    say: Callable[[str], None],
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Measures engines, all that have the same threads and batch in turns.

    Args:
        specs: the engines; the first is ours, which ratios are against. LCE takes one image and
            is left out of larger batches; of its modes only the faster is kept.
        settings: how.
        say: is told what is about to be measured.
        progress: is told, from 0 to 1, how much of that is done.

    Returns:
        JSON-able: `machine`, its state `before` and `after`, `settings`, `results` (of
        `Result`), `ratios` (of `Ratio`), why it was `unstable`, and the `rule` for that.

    Raises what the engines raise, and ModelError where one ends by itself.
    """
    machine = describe()
    meter = find_meter()
    results: list[Result] = []
    ratios: list[Ratio] = []
    unstable: list[str] = []
    states: list[CpuState] = []
    combinations = [(threads, batch) for threads in settings.threads for batch in settings.batch]
    end = perf_counter() + settings.max_seconds
    for index, (threads, batch) in enumerate(combinations):
        present = [spec for spec in specs if spec.kind != "lce" or batch == 1]
        say(_announcement(present, settings.runs, threads, batch))
        # A fair share of the time that is left.
        seconds = max(0.0, end - perf_counter()) / (len(combinations) - index)
        watched: list[CpuState] = []
        neighbours = Neighbours(os.sched_getaffinity(0))

        def watch(threads: int = threads, watched: list[CpuState] = watched) -> None:
            with pinned(threads):
                watched.append(read_state())

        measured = measure_sessions(
            present,
            threads=threads,
            batch=batch,
            runs=settings.runs,
            warmup=settings.warmup,
            seconds=seconds,
            meter=meter,
            neighbours=neighbours,
            watch=watch,
            progress=progress,
        )
        watch()
        states += watched
        both = [
            (spec, entry, _timing(spec, threads, batch, entry))
            for spec, entry in zip(present, measured, strict=True)
        ]
        kept = _without_slower_modes(both)
        results += [_result(*entry) for entry in kept]
        reference = kept[0][1]
        ratios += [_ratio(spec, threads, batch, entry, reference) for spec, entry, _ in kept[1:]]
        several = len(combinations) > 1 or len({spec.model for spec in specs}) > 1
        unstable += instability(
            watched[0],
            watched[1],
            {_label(spec, timing, several): timing for spec, _, timing in kept},
            neighbours=neighbours,
        )
    return {
        "machine": machine,
        "before": asdict(states[0]),
        "after": asdict(states[-1]),
        "settings": {
            "runs": settings.runs,
            "warmup": settings.warmup,
            "max_seconds": settings.max_seconds,
        },
        "results": [asdict(result) for result in results],
        "ratios": [asdict(entry) for entry in ratios],
        "unstable": list(dict.fromkeys(unstable)),
        "rule": RULE,
    }


def classified(
    session: Session, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """How well a model classifies images, JSON-able, and the label it gives to each, int64 [N].

    Raises what `Session.preprocess` and `accuracy.evaluate` raise.
    """
    probabilities = classify(
        lambda pixels: session.predict_proba(session.preprocess(pixels)), images
    )
    return asdict(score(probabilities, labels)), probabilities.argmax(axis=1)


def _announcement(specs: Sequence[Spec], runs: int, threads: int, batch: int) -> str:
    by_model: dict[str, list[str]] = {}
    for spec in specs:
        by_model.setdefault(spec.model, []).append(spec.engine)
    engines = "; ".join(
        f"{model} in {', '.join(dict.fromkeys(names))}" for model, names in by_model.items()
    )
    return f"{_size(threads, batch)}: {runs} runs of {engines}"


def _times(measured: Measured) -> list[list[NDArray[np.float64]]]:
    return [session.rounds for session in measured.sessions]


def _timing(spec: Spec, threads: int, batch: int, measured: Measured) -> Timing:
    return summarise(spec.engine, threads, batch, _times(measured))


def _without_slower_modes(
    entries: Sequence[tuple[Spec, Measured, Timing]],
) -> list[tuple[Spec, Measured, Timing]]:
    """Of the entries with the same model and engine, which are LCE's modes, the faster."""
    best: dict[tuple[str, str], tuple[Spec, Measured, Timing]] = {}
    for entry in entries:
        key = entry[0].model, entry[0].engine
        if key not in best or entry[2].p50_ms < best[key][2].p50_ms:
            best[key] = entry
    return list(best.values())


def _result(spec: Spec, measured: Measured, timing: Timing) -> Result:
    calls = sum(session.calls for session in measured.sessions)
    joules = [session.joules for session in measured.sessions if session.joules is not None]
    complete = len(joules) == len(measured.sessions)
    started = measured.started
    return Result(
        model=spec.model,
        mode=spec.mode,
        **asdict(timing),
        start_ms=median(start.start_ms for start in started),
        peak_bytes=_largest(start.peak_bytes for start in started),
        process_bytes=_largest(start.process_bytes for start in started),
        file_bytes=None if spec.file is None else Path(spec.file).stat().st_size,
        joules_per_image=sum(joules) / calls / timing.batch if complete else None,
        overhead_us=median(start.overhead_us for start in started),
    )


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _ratio(spec: Spec, threads: int, batch: int, measured: Measured, reference: Measured) -> Ratio:
    times, others = _times(measured), _times(reference)
    low, high = ratio_interval(times, others) or (None, None)
    return Ratio(spec.model, spec.engine, threads, batch, ratio(times, others), low, high)


def _label(spec: Spec, timing: Timing, several: bool) -> str:
    """What a warning calls an engine."""
    if not several:
        return spec.engine
    return f"{spec.model} in {spec.engine} ({_size(timing.threads, timing.batch)})"


def _size(threads: int, batch: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}, batch {batch}"
