"""Latency, measured so that two engines can be compared.

Engines take turns in short blocks: when the machine slows down or speeds up,
it does so for all of them. Each block begins with an untimed call, which warms
the caches that the previous engine has used. The process is pinned to as many
cores as it has threads, and the garbage collector rests.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import InputError, Session

from .engines import Engine

BLOCK = 10


@dataclass(frozen=True)
class Timing:
    """What one engine took. Times are of one call; `images_per_s` is at the median.

    `spread` is half the interquartile range, as a share of the median; `drift` how much
    longer the median of the last quarter of the calls is than that of the first, as a share.
    """

    engine: str
    threads: int
    batch: int
    runs: int
    min_ms: float
    median_ms: float
    p95_ms: float
    spread: float
    images_per_s: float
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
    calls = [(engine, engine.adapt(x)) for engine, x in cases]
    for engine, images in calls:
        for _ in range(warmup):
            engine.run(images)
    times: list[list[int]] = [[] for _ in calls]
    with _no_garbage_collection():
        for start in range(0, runs, BLOCK):
            for (engine, images), taken in zip(calls, times, strict=True):
                engine.run(images)
                for _ in range(min(BLOCK, runs - start)):
                    begin = perf_counter_ns()
                    engine.run(images)
                    taken.append(perf_counter_ns() - begin)
    return [
        summary(engine.name, engine.threads, len(x), taken)
        for (engine, x), taken in zip(cases, times, strict=True)
    ]


def example_input(session: Session, batch: int) -> NDArray[np.float32]:
    """Uniform noise of the model's size, float32 [batch, C, H, W] or [batch, K], from -1 to 1.

    Raises InputError when the model leaves more than the batch size open.
    """
    name, dtype, shape = session.inputs[0]
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) != len(shape) - 1:
        raise InputError(f"the sizes of input {name!r} are not fixed: {list(shape)}")
    if dtype == "uint8":
        height, width, channels = sizes
        sizes = [channels, height, width]
    return np.random.default_rng(0).uniform(-1, 1, (batch, *sizes)).astype(np.float32)


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keeps this thread, and those it starts, on `threads` cores, if there are as many.

    The last ones are taken: systems serve more interrupts on the first.
    """
    before = os.sched_getaffinity(0)
    if threads <= len(before):
        os.sched_setaffinity(0, sorted(before)[-threads:])
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


def summary(engine: str, threads: int, batch: int, taken: Sequence[int]) -> Timing:
    """The timing of calls that took so many nanoseconds."""
    ms = np.asarray(taken) / 1e6
    median = float(np.median(ms))
    quarter = max(1, len(ms) // 4)
    return Timing(
        engine=engine,
        threads=threads,
        batch=batch,
        runs=len(taken),
        min_ms=float(ms.min()),
        median_ms=median,
        p95_ms=float(np.percentile(ms, 95)),
        spread=float(np.subtract(*np.percentile(ms, (75, 25)))) / 2 / median,
        images_per_s=batch / median * 1e3,
        drift=float(np.median(ms[-quarter:]) / np.median(ms[:quarter])) - 1,
    )
