"""What `sbn benchmark` measures: times, ratios, the machine's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from sbn_deploy.benchmark.bootstrap import ratio, ratio_interval
from sbn_deploy.benchmark.sessions import Measured, measure_sessions
from sbn_deploy.benchmark.stability import RULE, instability
from sbn_deploy.benchmark.timing import summarise
from sbn_deploy.benchmark.worker import Spec
from sbn_deploy.engines.table import takes
from sbn_deploy.machine.background_load import BackgroundLoad
from sbn_deploy.machine.cores import pinned
from sbn_deploy.machine.cpu_state import read_state
from sbn_deploy.machine.describe import describe
from sbn_deploy.machine.energy import find_meter
from sbn_deploy.records.benchmark import Benchmark, Ratio, Settings, Timing
from sbn_deploy.records.machine import CpuState
from sbn_deploy.records.measurement import Model, head
from sbn_deploy.system import host


@dataclass(frozen=True)
class Watched:
    """What was measured of engines in turns, and the state of the machine.

    Attributes:
        measured: in the order of the engines.
        before, after: while they kept it busy.
        background: what else the cores did; None where that is not known.
    """

    measured: Sequence[Measured]
    before: CpuState
    after: CpuState
    background: BackgroundLoad | None


Place = Callable[[Sequence[Spec], int, int, float], Watched]
"""Measures engines with some threads, some batch, and for some seconds."""


def measure(
    specs: Sequence[Spec],
    models: Sequence[Model],
    settings: Settings,
    *,
    say: Callable[[str], None],
    progress: Callable[[float], None] = lambda share: None,
) -> Benchmark:
    """Measures engines, those with the same threads and batch in turns.

    Args:
        specs: the engines; the first is ours, which ratios are against. Those that take one
            sample are left out where there are more; of LCE's modes only the faster is kept.
        models: what the specs name.
        settings: how; `max_seconds` is given.
        say: is called with what is about to be measured.
        progress: is called with the share done, 0 to 1. Raises what the engines raise, and
            ModelError if one dies.
    """
    machine = describe()
    meter = find_meter()

    def here(present: Sequence[Spec], threads: int, batch: int, seconds: float) -> Watched:
        watched: list[CpuState] = []
        background = BackgroundLoad(host.usable_cores())

        def watch() -> None:
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
            background=background,
            watch=watch,
            progress=progress,
        )
        watch()
        return Watched(measured, watched[0], watched[1], background)

    figures = measure_at(here, specs, settings, say=say)
    return Benchmark(**head(machine), models=tuple(models), settings=settings, **figures, rule=RULE)


def measure_at(
    place: Place, specs: Sequence[Spec], settings: Settings, *, say: Callable[[str], None]
) -> dict[str, Any]:
    """What a `Benchmark` holds of engines that are measured in a place; see `measure`."""
    assert settings.max_seconds is not None
    results: list[Timing] = []
    ratios: list[Ratio] = []
    unstable: list[str] = []
    states: list[CpuState] = []
    combinations = [(threads, batch) for threads in settings.threads for batch in settings.batch]
    end = perf_counter() + settings.max_seconds
    for index, (threads, batch) in enumerate(combinations):
        present = [spec for spec in specs if takes(spec.engine, batch)]
        say(_announcement(present, threads, batch))
        # A fair share of the remaining time.
        seconds = max(0.0, end - perf_counter()) / (len(combinations) - index)
        watched = place(present, threads, batch, seconds)
        states += [watched.before, watched.after]
        kept = _without_slower_modes(
            [
                (spec, entry, _timing(spec, threads, batch, entry))
                for spec, entry in zip(present, watched.measured, strict=True)
            ]
        )
        results += [timing for *_, timing in kept]
        _, reference, first = kept[0]
        ratios += [
            _ratio(timing, entry, reference)
            for _, entry, timing in kept[1:]
            if timing.enough and first.enough
        ]
        several = len(combinations) > 1 or len({spec.model for spec in specs}) > 1
        unstable += instability(
            watched.before,
            watched.after,
            {_label(timing, several): timing for *_, timing in kept},
            background=watched.background,
        )
    return {
        "before": states[0],
        "after": states[-1],
        "results": tuple(results),
        "ratios": tuple(ratios),
        "unstable": tuple(dict.fromkeys(unstable)),
    }


def _announcement(specs: Sequence[Spec], threads: int, batch: int) -> str:
    by_model: dict[str, list[str]] = {}
    for spec in specs:
        by_model.setdefault(spec.model, []).append(spec.engine)
    engines = "; ".join(
        f"{model} in {', '.join(dict.fromkeys(names))}" for model, names in by_model.items()
    )
    return f"{_size(threads, batch)}: {engines}"


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


def _timing(spec: Spec, threads: int, batch: int, measured: Measured) -> Timing:
    calls = sum(session.calls for session in measured.sessions)
    joules = [session.joules for session in measured.sessions if session.joules is not None]
    complete = len(joules) == len(measured.sessions)
    started = measured.started
    return replace(
        summarise(spec.model, spec.engine, threads, batch, measured.times),
        mode=spec.mode,
        start_ms=median(start.start_ms for start in started),
        peak_bytes=_largest(start.peak_bytes for start in started),
        process_bytes=_largest(start.process_bytes for start in started),
        file_bytes=None if spec.file is None else Path(spec.file).stat().st_size,
        joules_per_image=sum(joules) / calls / batch if complete else None,
        overhead_us=median(start.overhead_us for start in started),
    )


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _ratio(timing: Timing, measured: Measured, reference: Measured) -> Ratio:
    low, high = ratio_interval(measured.times, reference.times) or (None, None)
    return Ratio(
        model=timing.model,
        engine=timing.engine,
        threads=timing.threads,
        batch=timing.batch,
        ratio=ratio(measured.times, reference.times),
        prediction_low=low,
        prediction_high=high,
    )


def _label(timing: Timing, several: bool) -> str:
    """What a warning calls an engine."""
    if not several:
        return timing.engine
    return f"{timing.model} in {timing.engine} ({_size(timing.threads, timing.batch)})"


def _size(threads: int, batch: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}, batch {batch}"
