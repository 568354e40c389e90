"""Where the time of a model goes, layer by layer, and which layer is the bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import onnx

from sbn_converters.layer_info import LayerInfo
from sbn_converters.onnx.inspect import inspect_model, load_model
from sbn_deploy.profile.node_times import NodeTime, Times, time_nodes
from sbn_deploy.profile.peak import DESCRIPTION, MACS, peak_model
from sbn_deploy.records.profile import Bottleneck, Layer, Peak

WELL_USED = 60
"""Percent of the peak from which a kernel is used well."""
# onnxruntime's name for a convolution that it runs on blocks of channels.
_BLOCKED = "_nchwc"
_FLOAT_PRODUCTS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


def profile_model(
    path: Path,
    *,
    threads: int,
    batch: int,
    runs: int,
    report: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Times each layer of an exported model.

    Args:
        report: is called after each of the `runs` calls.

    Returns:
        The figures of a `records.profile.Profile`.

    Raises ModelError if the file is missing, truncated or not an ONNX file, and InputError for a
    batch that the model does not take.
    """
    layers = known_layers(path)
    times = time_nodes(path, peak_model(), threads=threads, batch=batch, runs=runs, report=report)
    return figures(times, layers)


def figures(times: Times, layers: Mapping[str, LayerInfo]) -> dict[str, Any]:
    """The figures of a `records.profile.Profile`, of a model with these `known_layers`."""
    ghz = max(median(times.clocks_ghz), 1e-9)
    nodes, profiler_us = without_profiler(times.nodes, times.call_us)
    peak_rate = MACS / (times.peak_us * 1e3 * ghz)
    timed = _layers(nodes, layers, times.batch, ghz, peak_rate)
    return {
        "threads": times.threads,
        "batch": times.batch,
        "runs": times.runs,
        "isa": times.isa,
        "call_us": times.call_us,
        "profiler_us": profiler_us,
        "peak": Peak(binary_macs_per_cycle=peak_rate, ghz=ghz, measured_on=DESCRIPTION),
        "layers": tuple(timed),
        "bottleneck": bottleneck(timed, peak_rate * ghz * 1e3),
    }


def known_layers(path: Path) -> dict[str, LayerInfo]:
    """The file's layers, by their name and, for those that onnxruntime renames, their output.

    Raises ModelError if the file is missing, truncated or not an ONNX file.
    """
    layers = {layer.name: layer for layer in inspect_model(path)}
    outputs = _outputs(load_model(path))
    return layers | {out: layers[name] for name, out in outputs.items() if name in layers}


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


def bottleneck(layers: Sequence[Layer], peak_macs_per_us: float) -> Bottleneck:
    """The layer that would gain most if it did its MACs, of any kind, at the binary peak."""

    def lost(layer: Layer) -> float:
        return layer.us - layer.macs / peak_macs_per_us

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
    parts = (why, worst.why, f"to make it faster, {_advice(worst)}")
    return Bottleneck(name=worst.name, lost_us=lost(worst), why="; ".join(filter(None, parts)))


def _advice(layer: Layer) -> str:
    """What to do about the bottleneck."""
    match layer.kind:
        case "binary" if (layer.percent_of_peak or 0) >= WELL_USED:
            return "give it fewer channels, or pool before it: its kernel is near the peak"
        case "binary":
            return "give it channels in multiples of 64: the kernel works on words of 64 signs"
        case "float":
            return (
                "make it binary (a sign before it, binary weights), or export with --int8; a first"
                ' layer is fast with first = "int8"'
            )
        case "int8":
            return "give it fewer channels or a larger stride"
    return "check whether it is needed; moving and pooling are cheapest on signs, after the sign"


def _layers(
    nodes: Sequence[NodeTime],
    known: Mapping[str, LayerInfo],
    batch: int,
    ghz: float,
    peak_rate: float,
) -> list[Layer]:
    total = sum(node.us for node in nodes) or 1.0
    found = []
    for node in nodes:
        layer = _layer(node, known, batch, node.us / total)
        cycles = node.us * 1e3 * ghz
        if layer.macs and cycles:
            rate = layer.macs / cycles
            share = 100 * rate / peak_rate if layer.binary_macs else None
            layer = replace(layer, macs_per_cycle=rate, percent_of_peak=share)
        found.append(layer)
    return found


def _layer(node: NodeTime, known: Mapping[str, LayerInfo], batch: int, share: float) -> Layer:
    info = known.get(node.node.removesuffix(_BLOCKED))
    if info is None:
        float_macs = _float_macs(node)
        return Layer(
            name=node.node,
            op=node.op,
            kind="float" if float_macs else "other",
            input_shape=next(iter(node.inputs), ()),
            output_shape=next(iter(node.outputs), ()),
            float_macs=float_macs,
            us=node.us,
            share=share,
            bytes=node.tensor_bytes + node.constant_bytes,
        )
    return Layer(
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


def _outputs(model: onnx.ModelProto) -> dict[str, str]:
    return {node.name: node.output[0] for node in model.graph.node}
