"""One engine in a process of its own: `python -m sbn_deploy.benchmark.worker ENGINE`.

Engines then share no threads, memory or library settings, and the memory of each can be measured.
`sessions` starts the processes and gives them turns.

Prints a line once the libraries of ENGINE are loaded. Then reads JSON lines: first a `Job`, then
for each turn the number of timed calls; exits at end of input. Answers each in a line: the job with
`Started`, a turn with `Turn`, and errors of the engine with `error` and `type`, the name of the
error's class.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TextIO

from sbn_deploy.benchmark.rounds import Turn, Turns, settle, timed
from sbn_deploy.engines.engine import Engine, Feed, example
from sbn_deploy.engines.session import session_engine
from sbn_deploy.engines.table import LCE, NATIVE, SBN, TORCH
from sbn_deploy.system import host
from sbn_runtime import SbnError

EMPTY_CALLS = 1000


@dataclass(frozen=True)
class Spec:
    """A model for an engine.

    Attributes:
        model: its name in messages and tables.
        engine: its name in `engines.table`.
        file: what it reads; None for torch.
        network: for torch, the name of an architecture and its settings.
        shapes: of the inputs of that, batch first.
        xnnpack: for LCE, whether float layers run in XNNPACK.
        mode: what results call that; None for other engines.
    """

    model: str
    engine: str
    file: str | None = None
    network: tuple[str, Mapping[str, Any]] | None = None
    shapes: Sequence[Sequence[int]] = ()
    xnnpack: bool = False
    mode: str | None = None


@dataclass(frozen=True)
class Job:
    """A spec, the threads and batch to run it with, how to warm it up, and the cores to keep to.

    Warming up takes `warmup` calls, but ends after `warmup_s` seconds; it continues until `busy_s`
    seconds have passed since the first call.
    """

    spec: Spec
    threads: int
    batch: int
    warmup: int
    warmup_s: float
    busy_s: float
    cores: Sequence[int]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        return cls(**fields | {"spec": Spec(**fields["spec"])})


@dataclass(frozen=True)
class Started:
    """What starting an engine took; see `records.benchmark.Timing` for the first three and the
    last but one. `call_ms` is the time of the last call that warmed it up.
    """

    start_ms: float
    peak_bytes: int | None
    process_bytes: int | None
    overhead_us: float
    call_ms: float


def start(job: Job) -> tuple[Started, Callable[[int], Turn]]:
    """Loads a model, runs it once and warms it up; returns how to take turns from then on.

    Raises what the engine does, and InputError for a batch that the model does not take.
    """
    host.keep_to(job.cores)
    gc.collect()
    gc.disable()
    host.forget_peak()
    before = host.resident_bytes()
    begin = perf_counter()
    engine = _engine(job)
    started = perf_counter() - begin
    loaded = host.peak_bytes()
    feed = example(engine.inputs, job.batch)
    host.forget_peak()  # making the inputs is not the engine's work
    warm_begin = perf_counter()
    engine.run(feed)
    ran = host.peak_bytes()
    call_s = perf_counter() - warm_begin
    calls = 1
    while (
        calls < job.warmup and perf_counter() - warm_begin < job.warmup_s
    ) or perf_counter() - warm_begin < job.busy_s:
        call_begin = perf_counter()
        engine.run(feed)
        call_s = perf_counter() - call_begin
        calls += 1
    peak = max(loaded, ran) if loaded and ran else None
    return (
        Started(
            start_ms=started * 1e3,
            peak_bytes=max(0, peak - before) if peak and before else None,
            process_bytes=peak,
            overhead_us=overhead_us(feed),
            call_ms=call_s * 1e3,
        ),
        Turns(engine.run, feed).turn,
    )


def overhead_us(feed: Feed) -> float:
    """What measuring adds: the median time of a call that does nothing, in microseconds."""
    settle(nothing := lambda x: None, feed)
    return median(timed(nothing, feed, EMPTY_CALLS)) / 1e3


def main(engine: str, requests: TextIO, answers: TextIO) -> None:
    """Serves until `requests` end."""
    try:
        _load_libraries(engine)
        _answer(answers, {})
        started, turn = start(Job.from_json(requests.readline()))
        _answer(answers, asdict(started))
        for line in requests:
            _answer(answers, asdict(turn(json.loads(line))))
    except (SbnError, MemoryError) as error:
        _answer(answers, {"error": str(error), "type": type(error).__name__})


def _load_libraries(engine: str) -> None:
    """Those that the start of an engine should find loaded, and no others."""
    if engine == TORCH:
        import_module("sbn_deploy.benchmark.torch_network")
    elif engine == LCE:
        from sbn_deploy.lce import interpreter

        interpreter.load()
    elif engine == NATIVE:
        import_module("sbn_runtime.engines.native")
    else:
        import_module("sbn_deploy.engines.onnx")


def _engine(job: Job) -> Engine:
    spec, threads = job.spec, job.threads
    if spec.engine == TORCH:
        from sbn_deploy.benchmark.torch_network import torch_engine

        assert spec.network is not None
        return torch_engine(*spec.network, spec.shapes, threads=threads)
    assert spec.file is not None
    file = Path(spec.file)
    if spec.engine in (SBN, NATIVE):
        return session_engine(file, threads=threads, engine=spec.engine)
    if spec.engine == LCE:
        from sbn_deploy.engines.lce import LceEngine

        return LceEngine(file, threads=threads, xnnpack=spec.xnnpack)
    from sbn_deploy.engines.onnx import stock_engine

    return stock_engine(file, threads=threads)


def _answer(answers: TextIO, value: Mapping[str, Any]) -> None:
    print(json.dumps(value), file=answers, flush=True)


def serve(engine: str, run: Callable[[str, TextIO, TextIO], None] = main) -> None:
    """Serves on standard input and output, and ends with the process that started this one."""
    # Ctrl-C is for who started this, and ends it by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host.bind_to_parent()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as own:
        # What libraries print must not mix with answers.
        os.dup2(2, 1)
        run(engine, sys.stdin, own)


if __name__ == "__main__":
    serve(sys.argv[1])
