"""What a call takes: the figures of one engine, and engines in turns within this process.

The process is pinned to as many cores as it has threads, and the garbage collector rests.
`sbn_deploy.measure.latency.sessions` measures engines in processes of their own.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.latency.bootstrap import Sessions, median_interval
from sbn_deploy.measure.latency.engines import Engine
from sbn_deploy.measure.latency.rounds import Turns, take_turns
from sbn_runtime import InputError, Session


@dataclass(frozen=True)
class Timing:
    """What one engine took. Times are of one call; `images_per_s` is at the median.

    `p50_low_ms` to `p50_high_ms` is where the median of the next measurement falls, see
    `bootstrap`; None after a single round. `spread` is half the interquartile range, as a share
    of the median; `drift` how much longer the median of the last quarter of the calls is than
    that of the first, as a share.
    """

    engine: str
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
    spread: float
    drift: float


def measure(
    engines: Sequence[Engine], x: NDArray[np.float32], *, runs: int, warmup: int
) -> list[Timing]:
    """Times `runs` calls of each engine on the batch `x`, after `warmup` untimed ones.

    Create the engines inside `pinned`, so that their threads are pinned too.
    Each gets `x`, float32 [N, C, H, W], in the form that it takes. Results come
    in the order of `engines`.
    """
    return measure_each([(engine, x) for engine in engines], runs=runs, warmup=warmup)


def measure_each(
    cases: Sequence[tuple[Engine, NDArray[np.float32]]], *, runs: int, warmup: int
) -> list[Timing]:
    """Like `measure`, with a batch for each engine."""
    adapted = [(engine.run, engine.adapt(x)) for engine, x in cases]
    for run, images in adapted:
        for _ in range(warmup):
            run(images)
    with _no_garbage_collection():
        runners = [Turns(run, images) for run, images in adapted]
        taken = take_turns(runners, runs=runs, random=Random(0))
    return [
        summarise(engine.name, engine.threads, len(x), [session.rounds])
        for (engine, x), session in zip(cases, taken, strict=True)
    ]


def summarise(engine: str, threads: int, batch: int, sessions: Sessions) -> Timing:
    """The figures of an engine; `sessions` has at least one call, in milliseconds."""
    ms = np.concatenate([calls for session in sessions for calls in session])
    p25, p50, p75, p90, p99 = map(float, np.percentile(ms, (25, 50, 75, 90, 99)))
    low, high = median_interval(sessions, p50) or (None, None)
    quarter = max(1, len(ms) // 4)
    return Timing(
        engine=engine,
        threads=threads,
        batch=batch,
        runs=len(ms),
        p50_ms=p50,
        p50_low_ms=low,
        p50_high_ms=high,
        p90_ms=p90,
        p99_ms=p99,
        min_ms=float(ms.min()),
        images_per_s=batch / p50 * 1e3,
        spread=(p75 - p25) / 2 / p50,
        drift=float(np.median(ms[-quarter:]) / np.median(ms[:quarter])) - 1,
    )


def image_shape(session: Session) -> tuple[int, ...]:
    """What one image of a model is as float32: C, H, W; or K for a vector.

    Raises InputError when the model leaves more than the batch size open, or has several inputs.
    """
    if len(session.inputs) > 1:
        names = ", ".join(info.name for info in session.inputs)
        raise InputError(
            f"the model has several inputs ({names}); latency is measured of models with one"
        )
    name, dtype, shape = session.inputs[0]
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) != len(shape) - 1:
        raise InputError(f"the sizes of input {name!r} are not fixed: {list(shape)}")
    if dtype == "uint8":
        height, width, channels = sizes
        sizes = [channels, height, width]
    return tuple(sizes)


def cores_for(threads: int) -> list[int]:
    """The cores for as many threads, or all that this process may use if they are too few.

    The last ones are taken: systems serve more interrupts on the first.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores[-threads:] if threads <= len(cores) else cores


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those it starts, on `cores_for(threads)`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores_for(threads))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
