"""What `sbn benchmark` reports of a model: times, the machine's state, accuracy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.accuracy import classify, score
from sbn_deploy.measure.benchmark import example_input, pinned
from sbn_deploy.measure.engines import Engine, SbnEngine, sbn_engine
from sbn_deploy.measure.machine import describe
from sbn_deploy.measure.stability import RULE, instability, measure_watched
from sbn_runtime import Session


@dataclass(frozen=True)
class Settings:
    """How to measure, as the options of `sbn benchmark`."""

    threads: int
    batch: int
    runs: int
    warmup: int


def timed(
    model: Path,
    settings: Settings,
    rivals: Callable[[SbnEngine], Iterable[Engine]],
    *,
    load: float | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measures a model and its rivals.

    Args:
        model: an exported ONNX file.
        settings: how.
        rivals: the engines to run in turns with the model's.
        load: the load average before anything was done for this; the current one by default.
        say: is told what is about to be measured.

    Returns:
        `machine`, its state `before` and `after`, `results` (a list of `Timing`, that of the
        model first), why it was `unstable`, and the `rule` for that.

    Raises what `sbn_engine` and `example_input` raise.
    """
    cores = len(os.sched_getaffinity(0))
    machine = describe()
    with pinned(settings.threads):
        sbn = sbn_engine("sbn", model, threads=settings.threads)
        x = example_input(sbn.session, settings.batch)
        engines = [sbn, *rivals(sbn)]
        say(f"{settings.runs} runs of {', '.join(engine.name for engine in engines)}")
        watched = measure_watched(engines, x, runs=settings.runs, warmup=settings.warmup)
    return {
        "machine": machine,
        "before": asdict(watched.before),
        "after": asdict(watched.after),
        "results": watched.timings,
        "unstable": instability(
            watched,
            cores=cores,
            threads=settings.threads,
            load=machine["load_average"] if load is None else load,
        ),
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
