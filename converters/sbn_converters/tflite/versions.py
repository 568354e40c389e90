"""Versions of TFLite's operators.

An interpreter knows an operator up to some version. TFLite gives each the least
version that has what is used of it; so do we, for the types that we write.
"""

from __future__ import annotations

import numpy as np

from .model import ABSENT, Model, Operator


def version(model: Model, operator: Operator) -> int:
    """The least version of an operator that has what is used of it."""
    tensors = [model.tensors[i] for i in (*operator.inputs, *operator.outputs) if i != ABSENT]
    types = {tensor.dtype.name for tensor in tensors}
    rank = max(len(tensor.shape) for tensor in tensors)
    broadcast = len({tensor.shape for tensor in tensors}) > 1
    options = operator.options
    match operator.name:
        case "FULLY_CONNECTED" if len(operator.inputs) == 2:
            return 6
        case "FULLY_CONNECTED" if options.get("keep_num_dims"):
            return 5
        case "DEPTHWISE_CONV_2D" if (
            options.get("dilation_w_factor", 1),
            options.get("dilation_h_factor", 1),
        ) != (1, 1):
            return 2
        case "TRANSPOSE_CONV" if options.get("fused_activation_function"):
            return 4
        case "TRANSPOSE_CONV" if operator.inputs[3:] not in ([], [ABSENT]):
            return 3
        case "TRANSPOSE" if rank > 4:
            return 6 if rank > 5 else 4
        case "PAD" | "PADV2" if rank > 4:
            return 4
        case "SLICE" if rank > 4:
            return 5
        case "STRIDED_SLICE" if options.get("offset"):
            return 8
        case "STRIDED_SLICE" if options.get("ellipsis_mask") or options.get("new_axis_mask"):
            return 6
        case "STRIDED_SLICE" if rank > 4:
            return 4
        case "TRANSPOSE" | "STRIDED_SLICE" if "bool" in types:
            return 3
        case "MAXIMUM" | "MINIMUM" | "SUB" if broadcast and rank > 4:
            return 3
        case "DIV" if broadcast and rank > 4:
            return 2
        case "MUL" if "int64" in types:
            return 5
        case "ADD" | "SUB" if "int64" in types:
            return 4
        case "ABS" if "int32" in types:
            return 5
        case "SPLIT" if tensors[1].dtype == np.int32:
            return 3
        case "DEQUANTIZE" if "float16" in types:
            return 3
        case "CAST":
            return _cast(types)
        case _:
            return 1


def _cast(types: set[str]) -> int:
    for name, needed in (("float64", 5), ("float16", 5), ("uint16", 4), ("int8", 3), ("uint32", 2)):
        if name in types:
            return needed
    return 1
