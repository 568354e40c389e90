"""QONNX's operators in standard ONNX, one function for each.

They are written as QONNX's documentation defines them, step by step in float32, so
that results are equal bit for bit. One thing is settled here: a sign taken of NaN is
+1, as in our kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from .op import Op

DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
_MAX_BITS = 32


def _bipolar_quant(op: Op) -> ir.Value:
    """BipolarQuant(x, scale) = scale where x >= 0, else -scale."""
    return op.add("Mul", _sign(op, op.input(0)), op.input(1))


def _quant(op: Op) -> ir.Value:
    """Quant(x, scale, zero_point, bit_width) = (q - zero_point) scale.

    q is x / scale + zero_point, clipped to the range of the integers and rounded;
    of one signed bit it is the sign of that.
    """
    x, scale, zero_point = op.input(0), op.input(1), op.input(2)
    bits = _bits(op, 3)
    signed, narrow = op.flag("signed"), op.flag("narrow")
    shifted = op.add("Add", op.add("Div", x, scale), zero_point)
    if signed and bits == 1:
        whole = _sign(op, shifted)
    else:
        low, high = _limits(bits, signed, narrow)
        whole = _rounded(op, op.add("Clip", shifted, low, high), op.text("rounding_mode", "ROUND"))
    return op.add("Mul", op.add("Sub", whole, zero_point), scale)


def _multi_threshold(op: Op) -> ir.Value:
    """MultiThreshold(x, thresholds [C or 1, B]) = out_scale n + out_bias.

    n is the number of the channel's thresholds that x reaches.
    """
    x, thresholds = op.input(0), op.array(1).astype(np.float32)
    if thresholds.ndim != 2 or thresholds.size == 0:
        raise op.damaged(f"its thresholds have the shape {list(thresholds.shape)}, not [C, B]")
    rank, axis = _channel_axis(op)
    column = [1] * rank
    column[axis] = len(thresholds)
    reached = [
        op.add("Where", op.add("Less", x, threshold.reshape(column)), 0.0, 1.0, part="sign")
        for threshold in thresholds.T
    ]
    count = reached[0] if len(reached) == 1 else op.add("Sum", *reached)
    scaled = op.add("Mul", count, op.number("out_scale", 1.0))
    return op.add("Add", scaled, op.number("out_bias", 0.0))


def _channel_axis(op: Op) -> tuple[int, int]:
    """Rank and axis of channels; QONNX takes three dimensions for NWC unless it is said."""
    layout = op.text("data_layout", "")
    rank = len(layout) or op.rank(0)
    layout = layout or {2: "NC", 3: "NWC"}.get(rank, "NC")
    if rank < 2 or "C" not in layout:
        raise op.damaged(f"its input has {rank} dimensions and the layout {layout!r}")
    return rank, layout.index("C")


def _trunc(op: Op) -> ir.Value:
    """Trunc of version 1, which drops bits, and of version 2, which goes to another scale.

    Trunc(x, scale, zero_point, bits, to_bits): round(x / scale + zero_point) is divided by
    2^(bits - to_bits) and rounded, and is given the zero point and scale back.

    Trunc(x, scale, zero_point, bits, to_scale, to_bits): the same divided by d, the power of
    two nearest to to_scale / scale, clipped to the integers of to_bits and rounded; the
    zero point is divided by d too, and the scale is to_scale.
    """
    x, scale, zero_point = op.input(0), op.input(1), op.input(2)
    mode = op.text("rounding_mode", "FLOOR")
    whole = op.add("Round", op.add("Add", op.add("Div", x, scale), zero_point))
    if op.inputs == 5:
        dropped = _bits(op, 3) - _bits(op, 4)
        kept = _rounded(op, op.add("Div", whole, 2.0**dropped), mode)
        return op.add("Mul", op.add("Sub", kept, zero_point), scale)
    to_scale = op.input(4)
    ratio = op.array(4).astype(np.float32) / op.array(1).astype(np.float32)
    if not (ratio > 0).all():
        raise op.damaged("its scales are not positive")
    divisor = np.exp2(np.round(np.log2(ratio))).astype(np.float32)
    low, high = _limits(_bits(op, 5), op.flag("signed", True), op.flag("narrow", False))
    kept = _rounded(op, op.add("Clip", op.add("Div", whole, divisor), low, high), mode)
    moved = op.add("Sub", kept, op.add("Div", zero_point, divisor))
    return op.add("Mul", moved, to_scale)


def _xnor_popcount(op: Op) -> ir.Value:
    """XnorPopcountMatMul(a, b) of zeros and ones: how many of the K pairs are equal."""
    a, b = (op.add("Sub", op.add("Mul", op.input(i), 2.0), 1.0) for i in (0, 1))
    shape = op.array(1).shape
    if len(shape) != 2:
        raise op.damaged(f"its weights have the shape {list(shape)}, not [K, O]")
    return op.add("Mul", op.add("Add", op.add("MatMul", a, b), float(shape[0])), 0.5)


def _sign(op: Op, x: ir.Value) -> ir.Value:
    return op.add("Where", op.add("Less", x, 0.0), -1.0, 1.0, part="sign")


def _bits(op: Op, index: int) -> int:
    """A constant number of bits."""
    array = op.array(index)
    bits = float(array.reshape(-1)[0]) if array.size == 1 else math.nan
    if bits not in range(1, _MAX_BITS + 1):
        raise op.unsupported(
            f"its bit width is {array.tolist()}; it must be one whole number up to {_MAX_BITS}"
        )
    return int(bits)


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[float, float]:
    """The smallest and the largest integer; a narrow range lacks one of them."""
    if signed:
        half = 2 ** (bits - 1)
        return float(narrow - half), float(half - 1)
    return 0.0, float(2**bits - 1 - narrow)


def _rounded(op: Op, x: ir.Value, mode: str) -> ir.Value:
    """x rounded; UP, DOWN and the halves of HALF_UP and HALF_DOWN are seen from zero."""

    def of_magnitude(rounding: str, shift: float) -> ir.Value:
        magnitude = op.add("Add", op.add("Abs", x), shift)
        return op.add("Mul", op.add("Sign", x), op.add(rounding, magnitude))

    match mode.upper():
        case "ROUND" | "HALF_EVEN":
            return op.add("Round", x)
        case "CEIL":
            return op.add("Ceil", x)
        case "FLOOR":
            return op.add("Floor", x)
        case "UP":
            return of_magnitude("Ceil", 0.0)
        case "DOWN":
            return of_magnitude("Floor", 0.0)
        case "HALF_UP":
            return of_magnitude("Floor", 0.5)
        case "HALF_DOWN":
            return of_magnitude("Ceil", -0.5)
    raise op.unsupported(f"unknown rounding mode {mode!r}")


OPERATORS: dict[str, Callable[[Op], ir.Value]] = {
    "BipolarQuant": _bipolar_quant,
    "IntQuant": _quant,
    "MultiThreshold": _multi_threshold,
    "Quant": _quant,
    "Trunc": _trunc,
    "XnorPopcountMatMul": _xnor_popcount,
}
