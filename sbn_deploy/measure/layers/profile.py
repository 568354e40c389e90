"""Where the time of a model goes, layer by layer, and which layer to mend first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import onnx
from numpy.typing import NDArray

from sbn_converters.layer_info import LayerInfo
from sbn_converters.onnx.inspect import inspect_model, load_model
from sbn_deploy.measure.latency.engines import SbnEngine
from sbn_deploy.measure.latency.timing import pinned
from sbn_deploy.measure.layers import peak
from sbn_deploy.measure.layers.node_times import NodeTime, Profiler
from sbn_runtime.native import clock_ghz, isa

ROUND = 10
# onnxruntime's name for a convolution that it runs on blocks of channels.
_BLOCKED = "_nchwc"
_FLOAT_PRODUCTS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


@dataclass(frozen=True)
class LayerTime:
    """One node of the running model.

    Attributes:
        kind: "binary", "int8", "float" or "other", as of `LayerInfo`.
        input_shape, output_shape: as of `LayerInfo`; of nodes that onnxruntime made, as it
            states them, with the batch.
        binary_macs, int8_macs, float_macs: for the whole batch.
        us: microseconds of a call; `share` of all layers, 0 to 1.
        macs_per_cycle: of all kinds together; None without any.
        percent_of_peak: binary MACs a cycle against the machine's peak; None for others.
        bytes: read and written.
        why: why a layer that could have been binary stayed float.
    """

    name: str
    op: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    binary_macs: int
    int8_macs: int
    float_macs: int
    us: float
    share: float
    macs_per_cycle: float | None
    percent_of_peak: float | None
    bytes: int
    why: str


@dataclass(frozen=True)
class Mend:
    """The layer that loses most time, and how."""

    name: str
    lost_us: float
    why: str


@dataclass(frozen=True)
class Profile:
    """A model's layers in the order of execution.

    Attributes:
        ghz: clock of the core, measured between the calls.
        peak_macs_per_cycle: binary MACs a cycle of `peak.Peak`, all threads together.
        call_us: a call without the profiler; the layers sum to it where the profiler's own
            cost, `profiler_us` a node, could be told from theirs.
    """

    threads: int
    batch: int
    runs: int
    isa: str
    ghz: float
    peak_macs_per_cycle: float
    call_us: float
    profiler_us: float
    layers: list[LayerTime]
    mend_first: Mend


def profile_model(
    path: Path,
    engine: SbnEngine,
    x: NDArray[Any],
    *,
    runs: int,
    report: Callable[[], None] = lambda: None,
) -> Profile:
    """Times each layer of an exported model.

    Calls with the profiler, calls without it, those of the peak and readings of the clock
    take turns, so that a change of the machine's speed meets all of them.

    Args:
        path: the file.
        engine: the model as it is without the profiler.
        x: what the model takes.
        report: is called after each of the `runs` calls.

    Raises ModelError if the file is missing, truncated or no ONNX file.
    """
    layers = _known_layers(path)
    with pinned(engine.threads):
        profiler = Profiler(path, engine.threads)
        best = peak.Peak(engine.threads)
        calls: list[float] = []
        peaks: list[float] = []
        clocks = []
        for start in range(0, runs, ROUND):
            count = min(ROUND, runs - start)
            for _ in range(count):
                profiler.run(x)
                report()
            engine.run(x)
            calls += [_us(lambda: engine.run(x)) for _ in range(count)]
            best.run()
            peaks += [_us(best.run) for _ in range(count)]
            clocks.append(clock_ghz())
    ghz, call_us = max(median(clocks), 1e-9), median(calls)
    # The first calls allocate memory and find it cold.
    nodes, profiler_us = without_profiler(profiler.finish(min(ROUND, runs // 2)), call_us)
    peak_rate = peak.MACS / (median(peaks) * 1e3 * ghz)
    timed = _layers(nodes, layers, len(x), ghz, peak_rate)
    return Profile(
        threads=engine.threads,
        batch=len(x),
        runs=runs,
        isa=isa(),
        ghz=ghz,
        peak_macs_per_cycle=peak_rate,
        call_us=call_us,
        profiler_us=profiler_us,
        layers=timed,
        mend_first=mend_first(timed, peak_rate * ghz * 1e3),
    )


def without_profiler(nodes: Sequence[NodeTime], call_us: float) -> tuple[list[NodeTime], float]:
    """The nodes without what the profiler adds to each, and how much that is.

    The same number of microseconds is taken from every node, none below zero, so that the
    nodes sum to a call without the profiler; nothing if they sum to less.
    """
    cost = 0.0
    left = sorted(node.us for node in nodes)
    excess = sum(left) - call_us
    for index, shortest in enumerate(left):
        if excess <= 0:
            break
        # So much from each of those that are longer still.
        step = min(shortest - cost, excess / (len(left) - index))
        cost += step
        excess -= step * (len(left) - index)
    return [replace(node, us=max(0.0, node.us - cost)) for node in nodes], cost


def mend_first(layers: Sequence[LayerTime], peak_macs_per_us: float) -> Mend:
    """The layer that would gain most if it did its MACs, of any kind, at the binary peak."""

    def lost(layer: LayerTime) -> float:
        return layer.us - _macs(layer) / peak_macs_per_us

    worst = max(layers, key=lost)
    if worst.kind == "binary":
        why = f"a binary layer at {worst.percent_of_peak:.0f} % of the peak"
    elif worst.kind == "float":
        why = "computed in floats"
    elif worst.kind == "int8":
        why = "computed in 8 bits"
    else:
        why = "moves data without multiplying"
    why = f"{why}, {worst.share:.0%} of the time"
    return Mend(worst.name, lost(worst), f"{why}; {worst.why}" if worst.why else why)


def _layers(
    nodes: Sequence[NodeTime],
    known: Mapping[str, LayerInfo],
    batch: int,
    ghz: float,
    peak_rate: float,
) -> list[LayerTime]:
    total = sum(node.us for node in nodes) or 1.0
    found = []
    for node in nodes:
        layer = _layer(node, known, batch, node.us / total)
        cycles = node.us * 1e3 * ghz
        if _macs(layer) and cycles:
            rate = _macs(layer) / cycles
            share = 100 * rate / peak_rate if layer.binary_macs else None
            layer = replace(layer, macs_per_cycle=rate, percent_of_peak=share)
        found.append(layer)
    return found


def _layer(node: NodeTime, known: Mapping[str, LayerInfo], batch: int, share: float) -> LayerTime:
    info = known.get(node.node.removesuffix(_BLOCKED))
    if info is None:
        float_macs = _float_macs(node)
        return LayerTime(
            name=node.node,
            op=node.op,
            kind="float" if float_macs else "other",
            input_shape=next(iter(node.inputs), ()),
            output_shape=next(iter(node.outputs), ()),
            binary_macs=0,
            int8_macs=0,
            float_macs=float_macs,
            us=node.us,
            share=share,
            macs_per_cycle=None,
            percent_of_peak=None,
            bytes=node.tensor_bytes + node.constant_bytes,
            why="",
        )
    return LayerTime(
        name=info.name,
        op=node.op,
        kind=info.kind,
        input_shape=info.input_shape,
        output_shape=info.output_shape,
        binary_macs=info.binary_macs * batch,
        int8_macs=info.int8_macs * batch,
        float_macs=info.float_macs * batch,
        us=node.us,
        share=share,
        macs_per_cycle=None,
        percent_of_peak=None,
        bytes=node.tensor_bytes + info.packed_bytes + info.float_bytes,
        why=info.why,
    )


def _float_macs(node: NodeTime) -> int:
    """MACs of a product that onnxruntime made of others, by its shapes."""
    if node.op not in _FLOAT_PRODUCTS or len(node.inputs) < 2 or not node.outputs:
        return 0
    weights, output = node.inputs[1], node.outputs[0]
    if node.op.endswith("Conv"):
        return prod(weights) * output[0] * prod(output[2:])
    return prod(output) * node.inputs[0][-1]


def _known_layers(path: Path) -> dict[str, LayerInfo]:
    """The file's layers, by their name and, for those that onnxruntime renames, their output."""
    layers = {layer.name: layer for layer in inspect_model(path)}
    outputs = _outputs(load_model(path))
    return layers | {out: layers[name] for name, out in outputs.items() if name in layers}


def _outputs(model: onnx.ModelProto) -> dict[str, str]:
    return {node.name: node.output[0] for node in model.graph.node}


def _macs(layer: LayerTime) -> int:
    return layer.binary_macs + layer.int8_macs + layer.float_macs


def _us(call: Callable[[], object]) -> float:
    begin = perf_counter_ns()
    call()
    return (perf_counter_ns() - begin) / 1e3
