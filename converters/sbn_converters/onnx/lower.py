"""Lowering: binary layers of an ONNX graph become packed operators.

The input is an inference graph in standard ONNX whose signs are written
`Where(a < 0, -1, +1)` and whose binary layers have weights of exactly +1 and
-1. The result computes the same function: signs are packed where they arise,
tensors stay packed between binary layers, and everything between a binary
layer's accumulator and the next sign becomes one integer threshold. Where
floats are needed, what follows the accumulator is computed together with it.
Stochastic signs are sampled from integers, see `noise`.

What cannot be lowered exactly stays as it was; `Layer.why` says why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir
from onnx_ir.passes import common

from .activations import fuse_activations
from .batch_norm import fold_batch_norms
from .channels_last import keep_channels_last
from .concats import move_before_concats
from .eight_bits import Range, use_eight_bits
from .emit import transposed_from
from .float_forms import use_cheap_forms
from .graph import ints
from .layers import Layer
from .lowering.accumulators import Accumulators
from .lowering.floats import Floats
from .lowering.packed import PackedMoves
from .lowering.signs import Signs
from .lowering.state import State
from .moves import Moves
from .noise import Draw
from .normalise import normalise
from .pixels import floats_from
from .samples import Samples, repeat_shared

# Kinds of layers that compute, or draw: files know them by the name of their module.
_COMPUTING = ("binary", "pixels", "int8", "float", "draw")


@dataclass(frozen=True)
class Lowered:
    """What a graph became.

    layers: in order. notes: what holds but for rounding, or costs time. has_signs:
    whether the network has any value that depends on a float by its sign alone.
    """

    layers: list[Layer]
    notes: list[str]
    has_signs: bool


def lower(
    model: ir.Model,
    draws: Mapping[str, Draw] = MappingProxyType({}),
    samples: Samples | None = None,
    zeros: Collection[str] = (),
    *,
    pixels: bool = True,
    ranges: Mapping[str, Range] = MappingProxyType({}),
) -> Lowered:
    """Lowers the graph in place; returns what each layer became, in order.

    draws: how to draw the signs of the named modules; other signs are not drawn.
    samples: what says which samples to draw, where any are.
    zeros: names of traced signs whose floats are exactly 0 often; what `torch.sign` is
    then, 0, is kept for them.

    pixels: whether images may be normalised 8-bit pixels p, (2 p - 255) / 255, which a
    first layer then takes as they are.

    ranges: which float layers to compute in 8 bits, by name, and what they are given.

    The graph must have been traced with a known number of channels; height
    and width may only be unknown where nothing is flattened. If its first
    layer computes on 8-bit pixels, its input becomes uint8 [N, H, W, C].
    """
    found = normalise(model, draws.keys(), zeros)
    layers = _run(State(model.graph, draws, samples or Samples(), found, pixels), ranges)
    common.RemoveUnusedNodesPass()(model)
    return Lowered(layers, found.notes, found.has_signs)


def _run(state: State, ranges: Mapping[str, Range]) -> list[Layer]:
    signs, packed, sums, floats = (
        Signs(state),
        PackedMoves(state),
        Accumulators(state),
        Floats(state),
    )
    moves = Moves(state.emit, state.packed)
    visits = {
        "Where": signs.visit,
        "Pad": packed.pad,
        "MaxPool": packed.max_pool,
        "Reshape": packed.flatten,
        "Flatten": packed.flatten,
        "Identity": packed.pass_through,
        "Dropout": packed.pass_through,
        "Conv": sums.convolution,
        "Gemm": sums.dense,
        "MatMul": sums.dense,
        "Add": floats.residual,
    }
    order = [node for node in state.graph if node.domain == ""]
    for node in order:
        visit = visits.get(node.op_type)
        if visit is not None:
            visit(node)
        moves.visit(node)
    for node in reversed(order):
        if node.graph is not None:
            floats.finish(node)
    graph, emit = state.graph, state.emit
    _cancel_transposes(state)
    if state.pixels is not None:
        floats_from(state.pixels, graph, emit.edit)
    use_eight_bits(graph, emit, ranges)
    fold_batch_norms(graph, emit.edit)
    keep_channels_last(graph, emit, state.why)
    move_before_concats(graph, emit)
    fuse_activations(graph, emit)
    use_cheap_forms(graph, emit)
    repeat_shared(graph, emit.edit, state.samples)
    floats.note_real_layers()
    _name_layers(state)
    return [emit.layers[node] for node in graph if node in emit.layers]


def _name_layers(state: State) -> None:
    """Gives nodes the names of their layers: first those that compute, then what serves them."""
    layers = {node: state.emit.layers[node] for node in state.graph if node in state.emit.layers}
    computing = [node for node, layer in layers.items() if layer.kind in _COMPUTING]
    taken: set[str] = set()
    for node in dict.fromkeys([*computing, *layers, *state.graph]):
        wanted = layers[node].name if node in layers else node.name or node.op_type
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        node.name = name
        if node in layers:
            layers[node].node = name


def _cancel_transposes(state: State) -> None:
    for node in list(state.graph):
        if node.op_type != "Transpose":
            continue
        original = transposed_from(node.inputs[0], ints(node, "perm", []))
        if original is not None and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(original)
            state.emit.edit.prune(node)
