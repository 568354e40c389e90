"""One engine in a process of its own: `python -m sbn_deploy.measure.latency.worker KIND`.

Engines share nothing then: no threads, no memory, no settings of a library; and the memory that
one takes can be told. `sessions` starts the processes and gives them turns.

Says in a line that the libraries of KIND are loaded. Then reads JSON lines: first a `Job`, then
for each turn the number of timed calls; ends with its input. Answers each in a line: the job with
`Started`, a turn with `Turn`, and what the engine refuses with `error` and `type`, the name of
the error's class.
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
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.latency.engines import Engine, sbn_engine, stock_engine
from sbn_deploy.measure.latency.rounds import Turn, Turns, settle, timed
from sbn_runtime import SbnError

Kind = Literal["sbn", "onnxruntime", "lce", "torch"]
EMPTY_CALLS = 1000


@dataclass(frozen=True)
class Spec:
    """A model for an engine.

    Attributes:
        model: what people call it.
        engine: what results call the engine: "sbn", "onnxruntime-fp32", "lce".
        kind: what runs it.
        image: C, H, W, or K for a model that takes vectors.
        file: what `kind` reads; None for torch.
        network: for torch, the name of an architecture and its settings.
        xnnpack: for LCE, whether float layers run in XNNPACK.
        mode: what results call that; None for other engines.
    """

    model: str
    engine: str
    kind: Kind
    image: Sequence[int]
    file: str | None = None
    network: tuple[str, Mapping[str, Any]] | None = None
    xnnpack: bool = False
    mode: str | None = None


@dataclass(frozen=True)
class Job:
    """A spec, the threads and batch to run it with, how to warm it up, and the cores to keep to.

    Warming up takes `warmup` calls, but ends after `warmup_s` seconds; then, for `busy_s` seconds
    from the first call, it goes on.
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
    """What starting an engine took.

    Attributes:
        start_ms: from the file to a session that can be called; for torch, from drawing
            random weights.
        peak_bytes: by how much the process grew above the interpreter with its libraries, while
            it loaded the model and ran it once, its input and output included; None where the
            system does not tell.
        process_bytes: the largest size of the whole process.
        overhead_us: what measuring a call adds to its time.
        call_ms: of the last call that warmed it up.
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
    shape = job.batch, *job.spec.image
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    os.sched_setaffinity(0, job.cores)
    gc.collect()
    gc.disable()
    _forget_peak()
    before = _memory("VmRSS")
    begin = perf_counter()
    engine = _engine(job)
    started = perf_counter() - begin
    loaded = _memory("VmHWM")
    images = engine.adapt(x)
    _forget_peak()  # adapting the images is not the engine's work
    warm_begin = perf_counter()
    engine.run(images)
    ran = _memory("VmHWM")
    call_s = perf_counter() - warm_begin
    calls = 1
    while (
        calls < job.warmup and perf_counter() - warm_begin < job.warmup_s
    ) or perf_counter() - warm_begin < job.busy_s:
        call_begin = perf_counter()
        engine.run(images)
        call_s = perf_counter() - call_begin
        calls += 1
    peak = max(loaded, ran) if loaded and ran else None
    return (
        Started(
            start_ms=started * 1e3,
            peak_bytes=max(0, peak - before) if peak and before else None,
            process_bytes=peak,
            overhead_us=overhead_us(images),
            call_ms=call_s * 1e3,
        ),
        Turns(engine.run, images).turn,
    )


def overhead_us(images: NDArray[Any]) -> float:
    """What measuring adds: the median time of a call that does nothing, in microseconds."""
    settle(nothing := lambda x: None, images)
    return median(timed(nothing, images, EMPTY_CALLS)) / 1e3


def main(kind: Kind, requests: TextIO, answers: TextIO) -> None:
    """Serves until `requests` end."""
    try:
        _load_libraries(kind)
        _answer(answers, {})
        started, turn = start(Job.from_json(requests.readline()))
        _answer(answers, asdict(started))
        for line in requests:
            _answer(answers, asdict(turn(json.loads(line))))
    except (SbnError, MemoryError) as error:
        _answer(answers, {"error": str(error), "type": type(error).__name__})


def _load_libraries(kind: Kind) -> None:
    if kind == "torch":
        import_module("sbn_deploy.measure.latency.torch_engine")
    elif kind == "lce":
        from sbn_deploy.lce import interpreter

        interpreter.load()


def _engine(job: Job) -> Engine:
    spec, threads = job.spec, job.threads
    if spec.kind == "torch":
        from sbn_deploy.measure.latency.torch_engine import binary_network, torch_engine

        assert spec.network is not None
        return torch_engine(spec.engine, binary_network(*spec.network), threads=threads)
    assert spec.file is not None
    file = Path(spec.file)
    if spec.kind == "sbn":
        return sbn_engine(spec.engine, file, threads=threads)
    if spec.kind == "onnxruntime":
        return stock_engine(spec.engine, file, threads=threads)
    from sbn_deploy.measure.latency.lce import lce_engine

    return lce_engine(spec.engine, file, threads=threads, xnnpack=spec.xnnpack)


def _forget_peak() -> None:
    """Has Linux count VmHWM anew; where it may not, memory is stated too large, if at all."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _memory(entry: str) -> int | None:
    """An entry of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    return None


def _answer(answers: TextIO, value: Mapping[str, Any]) -> None:
    print(json.dumps(value), file=answers, flush=True)


if __name__ == "__main__":
    # Ctrl-C is for who started this, and ends it by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w") as own:
        # Whatever a library prints is no answer.
        os.dup2(2, 1)
        main(sys.argv[1], sys.stdin, own)  # type: ignore[arg-type]
