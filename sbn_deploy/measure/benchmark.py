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
    """What one engine took. Times are of one call; `images_per_s` is at the median."""

    engine: str
    threads: int
    batch: int
    runs: int
    min_ms: float
    median_ms: float
    p95_ms: float
    images_per_s: float


def measure(
    engines: Sequence[Engine], x: NDArray[np.float32], *, runs: int, warmup: int
) -> list[Timing]:
    """Times `runs` calls of each engine on the batch `x`, after `warmup` untimed ones.

    Create the engines inside `pinned`, so that their threads are pinned too.
    Results come in the order of `engines`.
    """
    for engine in engines:
        for _ in range(warmup):
            engine.run(x)
    times: list[list[int]] = [[] for _ in engines]
    with _no_garbage_collection():
        for start in range(0, runs, BLOCK):
            for engine, taken in zip(engines, times, strict=True):
                engine.run(x)
                for _ in range(min(BLOCK, runs - start)):
                    begin = perf_counter_ns()
                    engine.run(x)
                    taken.append(perf_counter_ns() - begin)
    return [_summary(engine, len(x), taken) for engine, taken in zip(engines, times, strict=True)]


def example_input(session: Session, batch: int) -> NDArray[np.float32]:
    """Normally distributed input of the model's shape, float32 [batch, ...].

    Raises InputError when the model leaves more than the batch size open.
    """
    name, _, shape = session.inputs[0]
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    if len(sizes) != len(shape) - 1:
        raise InputError(f"the sizes of input {name!r} are not fixed: {list(shape)}")
    return np.random.default_rng(0).standard_normal((batch, *sizes), np.float32)


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


def _summary(engine: Engine, batch: int, taken: list[int]) -> Timing:
    ms = np.asarray(taken) / 1e6
    median = float(np.median(ms))
    return Timing(
        engine=engine.name,
        threads=engine.threads,
        batch=batch,
        runs=len(taken),
        min_ms=float(ms.min()),
        median_ms=median,
        p95_ms=float(np.percentile(ms, 95)),
        images_per_s=batch / median * 1e3,
    )
