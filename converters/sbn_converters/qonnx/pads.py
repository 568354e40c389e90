"""Padding that depends on the size of the image, as numbers."""

from __future__ import annotations

import onnx_ir as ir

from ..onnx.graph import dims, ints, text

_LAYERS = ("AveragePool", "Conv", "MaxPool")


def give_pads(graph: ir.Graph) -> None:
    """Writes SAME_UPPER and SAME_LOWER of convolutions and pools as what they come to.

    The output is as large as the input, divided by the stride and rounded up; an odd
    number of rows is one more below, or above for SAME_LOWER.
    """
    for node in graph:
        mode = text(node, "auto_pad", "NOTSET") if node.op_type in _LAYERS else ""
        image = node.inputs[0] if mode in ("SAME_UPPER", "SAME_LOWER") else None
        sizes = dims(image)[2:] if image is not None else []
        if not sizes or None in sizes:
            continue
        kernel = ints(node, "kernel_shape", [])
        if not kernel and node.inputs[1] is not None:
            kernel = [size or 1 for size in dims(node.inputs[1])[2:]]
        ones = [1] * len(sizes)
        strides, dilations = ints(node, "strides", ones), ints(node, "dilations", ones)
        before, after = [], []
        for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
            assert size is not None
            reach = (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1
            whole = max(reach - size, 0)
            smaller = whole // 2
            before.append(smaller if mode == "SAME_UPPER" else whole - smaller)
            after.append(whole - before[-1])
        node.attributes["auto_pad"] = ir.AttrString("auto_pad", "NOTSET")
        node.attributes["pads"] = ir.AttrInt64s("pads", [*before, *after])
