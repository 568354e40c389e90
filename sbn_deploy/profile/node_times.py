"""The time of each node of a model, by onnxruntime's profiler.

Needs the base install only: it runs on devices too.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

import numpy as np

from sbn_deploy.engines.engine import Feed, example
from sbn_deploy.engines.onnx import kernel_engine
from sbn_deploy.machine.cores import pinned
from sbn_deploy.records.schema import Record
from sbn_runtime import TensorInfo
from sbn_runtime.errors import OutputError
from sbn_runtime.native import clock_ghz, isa

CLOCK_READINGS = 3
ROUND = 10
# Workers of onnxruntime 1.31 wait busily for about 30 ms after a call.
SPINNING_S = 0.04
# onnxruntime cuts times to whole microseconds, by half of one in the mean.
_CUT_US = 0.5
Shape = tuple[int, ...]


@dataclass(frozen=True)
class NodeTime:
    """What one node takes in a call.

    Attributes:
        node, op: its name, and its operator without the domain; both are onnxruntime's own
            for nodes that it made by fusing others.
        us: microseconds, the mean of the middle half of the calls.
        inputs, outputs: shapes as seen at run time, with the batch.
        tensor_bytes: of the tensors that it read and wrote.
        constant_bytes: of its constants, but for those that onnxruntime has rearranged.
    """

    node: str
    op: str
    us: float
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    tensor_bytes: int
    constant_bytes: int


@dataclass(frozen=True, kw_only=True)
class Times(Record):
    """What was timed of a model on one machine.

    Attributes:
        nodes: with the profiler, in the order of execution.
        call_us, peak_us: median of a call without the profiler, and of one of the peak's model.
        clocks_ghz: readings of the clock in between.
    """

    threads: int
    batch: int
    runs: int
    isa: str
    nodes: tuple[NodeTime, ...]
    call_us: float
    peak_us: float
    clocks_ghz: tuple[float, ...]


def time_nodes(
    path: Path,
    peak_model: bytes,
    *,
    threads: int,
    batch: int,
    runs: int,
    report: Callable[[], None] = lambda: None,
) -> Times:
    """Times each node of an exported model.

    Calls with the profiler, calls without it, those of the peak and readings of the clock
    take turns, so that a change of the machine's speed meets all of them.

    Args:
        peak_model: of `peak.peak_model`.
        report: is called after each of the `runs` calls.

    Raises InputError for a batch that the model does not take.
    """
    with pinned(threads):
        engine = kernel_engine(path, threads=threads)
        best = kernel_engine(peak_model, threads=threads)
        feed = example(engine.inputs, batch)
        best_feed = random_signs(best.inputs)
        profiler = Profiler(path, threads)
        calls: list[float] = []
        peaks: list[float] = []
        clocks = []
        for start in range(0, runs, ROUND):
            count = min(ROUND, runs - start)
            for _ in range(count):
                profiler.run(feed)
                report()
            _rest(threads)
            engine.run(feed)
            calls += [_us(lambda: engine.run(feed)) for _ in range(count)]
            _rest(threads)
            best.run(best_feed)
            peaks += [_us(lambda: best.run(best_feed)) for _ in range(count)]
            # A reading that something interrupts, or that finds the caches cold, is too low.
            clocks.append(max(clock_ghz() for _ in range(CLOCK_READINGS)))
            _rest(threads)
    return Times(
        threads=threads,
        batch=batch,
        runs=runs,
        isa=isa(),
        # The first calls allocate memory and find it cold.
        nodes=tuple(profiler.finish(min(ROUND, runs // 2))),
        call_us=median(calls),
        peak_us=median(peaks),
        clocks_ghz=tuple(clocks),
    )


def random_signs(inputs: Sequence[TensorInfo]) -> Feed:
    """What the peak's model takes: as in use. With zeros, look-ups would hit one cache line."""
    random = np.random.default_rng(0)
    return {
        name: random.integers(0, 2**64, array.shape, np.uint64)
        for name, array in example(inputs, 1).items()
    }


def _rest(threads: int) -> None:
    """Waits until the workers of the engine before have ceased to wait for work, busily."""
    if threads > 1:
        sleep(SPINNING_S)


class Profiler:
    """An exported model in onnxruntime, with each node timed.

    The profiler itself takes a microsecond or more for each node.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._engine = kernel_engine(
            path, threads=threads, profile=Path(self._folder.name, "profile")
        )

    def run(self, feed: Feed) -> None:
        """One call with what the model takes."""
        self._engine.run(feed)

    def finish(self, warmup: int) -> list[NodeTime]:
        """The nodes in the order of execution, without the first `warmup` calls.

        Raises OutputError where onnxruntime could not write all that it measured.
        """
        try:
            events = json.loads(
                Path(self._engine.session.end_profiling()).read_text(encoding="utf-8")
            )
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self._folder.name}: onnxruntime cannot write its measurements there; free"
                " some space, or set TMPDIR to another folder"
            ) from error
        finally:
            self._folder.cleanup()
        calls: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                node = event["name"].removesuffix("_kernel_time")
                calls[node, event["args"]["op_name"]].append(event)
        return [_node_time(*node, events[warmup:]) for node, events in calls.items()]


def _node_time(node: str, op: str, events: list[Mapping[str, Any]]) -> NodeTime:
    details = events[-1]["args"]
    return NodeTime(
        node,
        op,
        middle_mean([event["dur"] for event in events]) + _CUT_US,
        _shapes(details.get("input_type_shape", [])),
        _shapes(details.get("output_type_shape", [])),
        int(details.get("activation_size", 0)) + int(details.get("output_size", 0)),
        int(details.get("parameter_size", 0)),
    )


def _shapes(tensors: list[dict[str, list[int]]]) -> tuple[Shape, ...]:
    return tuple(tuple(shape) for tensor in tensors for shape in tensor.values())


def middle_mean(values: Sequence[int]) -> float:
    """The mean of the middle half: as steady as a median, and finer than a microsecond."""
    ordered = np.sort(values)
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


def _us(call: Callable[[], object]) -> float:
    begin = perf_counter_ns()
    call()
    return (perf_counter_ns() - begin) / 1e3
