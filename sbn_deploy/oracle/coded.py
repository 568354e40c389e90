"""Layers that a file computes in 8 bits: what it was given, and what torch makes of the same.

The file's own codes are held against torch's floats, which they may miss by half a step and
what lies outside of their range; then torch computes the layer of these codes and of the
rounded weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from sbn_converters.onnx.eight_bits import LARGEST_INPUT, whole_weights

from .report import CODE_TOLERANCE, mismatch

aten = torch.ops.aten

_WEIGHTS_LAST = (aten.addmm.default, aten.mm.default, aten.matmul.default)
# Where a layer has its input and its weights.
_PLACES: dict[object, tuple[int, int]] = {
    aten.conv2d.default: (0, 1),
    aten.convolution.default: (0, 1),
    aten.linear.default: (0, 1),
    aten.mm.default: (0, 1),
    aten.matmul.default: (0, 1),
    aten.addmm.default: (1, 2),
}


@dataclass(frozen=True)
class Coded:
    """A layer in 8 bits.

    layer: its name. value: the codes' name in the file. traced: that of the value that the layer
    computes in torch or, of a layer that was trained in 8 bits, of x / step. step, zero: code p
    stands for (p - zero) * step.
    """

    layer: str
    value: str
    member: int
    traced: str
    step: float
    zero: int


def find_coded(
    proto: onnx.ModelProto, layers: Sequence[Mapping[str, Any]], members: int, file: str
) -> list[Coded]:
    """The layers in 8 bits of a file, whose codes are made outputs of it.

    file: what errors call it.

    Raises ModelError where such a layer is given anything but codes.
    """
    nodes = {node.name: node for node in proto.graph.node}
    makers = {output: node for node in proto.graph.node for output in node.output}
    arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
    present = {output.name for output in proto.graph.output}
    found = []
    for member in range(members):
        for layer in layers:
            node = nodes.get(layer["node"].replace("member0/", f"member{member}/", 1))
            if node is None or not layer.get("codes"):
                continue
            maker = makers.get(node.input[0])
            if maker is not None and maker.op_type == "Reshape":
                maker = makers.get(maker.input[0])
            if maker is None or maker.op_type != "QuantizeLinear":
                raise mismatch(file, node.name)
            if len(maker.input) != 3 or not arrays.keys() >= {*maker.input[1:]}:
                raise mismatch(file, node.name)
            step, zero = (onnx.numpy_helper.to_array(arrays[name]) for name in maker.input[1:])
            name = node.name.removeprefix(f"member{member}/")
            value = maker.output[0]
            found.append(Coded(name, value, member, layer["codes"], float(step), int(zero)))
            if value not in present:
                present.add(value)
                proto.graph.output.append(
                    onnx.helper.make_tensor_value_info(value, onnx.TensorProto.UINT8, None)
                )
    return found


def differing(x: Tensor, codes: NDArray[np.uint8], coded: Coded) -> NDArray[np.bool_]:
    """Which codes are not those of torch's floats, nor of floats a rounding away; as x."""
    exact = x.double().numpy() / coded.step + coded.zero
    wrong: NDArray[np.bool_] = np.abs(codes - np.clip(exact, 0, LARGEST_INPUT)) > CODE_TOLERANCE
    return wrong


def operands(node: fx.Node) -> tuple[int, int] | None:
    """At which places a traced layer has its input and its weights; None for other operations."""
    return _PLACES.get(node.target)


def rounded_weights(node: fx.Node, weights: Tensor) -> Tensor:
    """The weights that the file has, in place of a layer's own."""
    array = weights.detach().float().numpy()
    transposed = array.T if node.target in _WEIGHTS_LAST else array
    steps, whole = whole_weights(transposed)
    made = whole * steps.astype(np.float64).reshape(-1, *[1] * (whole.ndim - 1))
    made = made.T if node.target in _WEIGHTS_LAST else made
    return torch.from_numpy(np.ascontiguousarray(made)).to(weights.dtype)


def as_traced(codes: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Codes, channels last, in the layout and the shape of a traced value."""
    if len(shape) == 4:
        codes = codes.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)
        # In torch's layout: what was traced may view the sums in another shape.
        codes = np.ascontiguousarray(codes)
    return codes.reshape(shape)
