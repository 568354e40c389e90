"""The specification of every operator in the `sbn` domain, said once.

From the specifications below come the tables that the C++ op library
registers (`runtime/src/op_specs.inc`), the schemas that the onnx checker
uses, the function bodies embedded in every exported file, docs/operators.md
and the parametrised tests. `python -m sbn_converters.generate` writes the generated
files; a test fails when they are stale.

Conventions (all operators):

- Channels are the last axis. Packed tensors are uint64 with channel c in word
  c // 64, bit c % 64; a set bit means -1. Unused bits are 0.
- A binary product of K terms is `dot = K - 2 * popcount(x xor w)`.
- sign(0) = sign(-0.0) = sign(NaN) = +1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DOMAIN = "sbn"
VERSION = 1
ONNX_OPSET = 20
# onnxruntime 1.17 reads at most this version.
IR_VERSION = 9

DType = Literal["float32", "uint64", "int32", "uint8", "int8"]
MAX_DIM = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, element type and shape in words."""

    name: str
    dtype: DType
    shape: str
    doc: str


@dataclass(frozen=True)
class Attribute:
    """A required integer attribute, or a list of `length` integers.

    Every value lies in [minimum, maximum].
    """

    name: str
    minimum: int
    maximum: int
    doc: str
    length: int | None = None


@dataclass(frozen=True)
class Operator:
    """One operator: its interface and the ONNX function that defines it."""

    name: str
    doc: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: tuple[Attribute, ...]
    body: str


@dataclass(frozen=True)
class Helper:
    """A function that bodies share; it has no kernel of its own."""

    name: str
    text: str


_CHANNELS = Attribute("channels", 1, MAX_DIM, "number of input channels C")
_CONV_ATTRIBUTES = (
    _CHANNELS,
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("dilations", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("pads", 0, 1 << 15, "[top, left, bottom, right]", 4),
    Attribute("group", 1, MAX_DIM, "number of groups; divides C and O"),
    Attribute("pad_value", -1, 1, "value of every border element: -1, 0 or +1"),
)
_DENSE_ATTRIBUTES = (
    Attribute(
        "channels",
        1,
        1 << 26,
        "number of products K in a row; at most 64 * Kw, the rest being unused bits",
    ),
)
_DOT_RANGE = Attribute(
    "dot_range",
    -(1 << 31),
    (1 << 31) - 1,
    "[low, high]: the dot product is raised to low, then lowered to high, before it is scaled;"
    " the full range where nothing is clamped",
    2,
)
_POOL_ATTRIBUTES = (
    Attribute("kernel_shape", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("pads", 0, 1 << 15, "[top, left, bottom, right], each below the kernel's size", 4),
)

_CONV_X = Tensor("X", "uint64", "[N, H, W, ceil(C/64)]", "packed activations")
_CONV_W = Tensor(
    "W", "uint64", "[O, kh, kw, ceil(C/group/64)]", "packed weights, constant for best speed"
)
_DENSE_X = Tensor("X", "uint64", "[N, Kw]", "packed activations")
_DENSE_W = Tensor("W", "uint64", "[O, Kw]", "packed weights, constant for best speed")
_THRESHOLD = Tensor(
    "T", "int32", "[O]", "smallest dot product whose sign is +1, for each output channel"
)
_SCALE = Tensor("scale", "float32", "[O]", "factor of each output channel")
_BIAS = Tensor("bias", "float32", "[O]", "offset of each output channel")

_LOW = Tensor("low", "float32", "[O]", "smallest result of each output channel")
_HIGH = Tensor("high", "float32", "[O]", "largest result of each output channel")
_SLOPE = Tensor("slope", "float32", "[O]", "factor of negative results, for each output channel")
_PIXELS = Tensor("X", "uint8", "[N, H, W, C]", "an 8-bit image")
_PIXEL_W = Tensor("W", "int8", "[O, kh, kw, C]", "weights, constant for best speed")
_PIXEL_THRESHOLD = Tensor(
    "T", "int32", "[O]", "smallest sum whose sign is +1, for each output channel"
)
_PIXEL_ATTRIBUTES = (
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("dilations", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("pads", 0, 1 << 15, "[top, left, bottom, right]", 4),
    Attribute("pad_value", 0, 255, "value of every border pixel"),
)

_CONV_CALL = (
    "sbn.ConvAccumulate <channels: int = @channels, strides: ints = @strides,"
    " dilations: ints = @dilations, pads: ints = @pads, group: int = @group,"
    " pad_value: int = @pad_value> (X, W)"
)
_DENSE_CALL = "sbn.DenseAccumulate <channels: int = @channels> (X, W)"

_THRESHOLD_BODY = """
    A = {call}
    below = Less (A, T)
    Y = sbn.PackBits (below)
"""
_CLAMP_DOT = "sbn.ClampDot <dot_range: ints = @dot_range> (all)"
_PIXEL_CALL = (
    "sbn.PixelAccumulate <strides: ints = @strides, dilations: ints = @dilations,"
    " pads: ints = @pads, pad_value: int = @pad_value> (X, W)"
)

_SCALE_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    Y = sbn.ScaleAndBias (A, scale, bias)
"""
_CLAMP_STEPS = """
    v = sbn.ScaleAndBias (A, scale, bias)
    below = Less (v, low)
    raised = Where (below, low, v)
    above = Greater (raised, high)
    Y = Where (above, high, raised)
"""
_CLAMP_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}{_CLAMP_STEPS}"""
_PRELU_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = sbn.ScaleAndBias (A, scale, bias)
    zero = Constant <value = float {{{{0.0}}}}> ()
    negative = Less (v, zero)
    sloped = Mul (v, slope)
    Y = Where (negative, sloped, v)
"""
_RESIDUAL_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = sbn.ScaleAndBias (A, scale, bias)
    Y = Add (v, R)
    zero = Constant <value = float {{{{0.0}}}}> ()
    negative = Less (Y, zero)
    P = sbn.PackBits (negative)
"""


def _products(
    kind: str,
    x: Tensor,
    w: Tensor,
    lead: str,
    attributes: tuple[Attribute, ...],
    call: str,
) -> tuple[Operator, ...]:
    """The operators of one kind of binary product, one for each epilogue."""
    what = {"Conv": "Binary convolution", "Dense": "Binary matrix product"}[kind]
    ranged = (*attributes, _DOT_RANGE)
    packed = f"[{lead}, ceil(O/64)]"
    floats = Tensor("Y", "float32", f"[{lead}, O]", "scaled dot products")
    return (
        Operator(
            f"{kind}Threshold",
            f"{what} with a sign at the end: bit 1 (-1) where the dot product < T.",
            (x, w, _THRESHOLD),
            (Tensor("Y", "uint64", packed, "packed signs"),),
            attributes,
            _THRESHOLD_BODY.format(call=call),
        ),
        Operator(
            f"{kind}Scale",
            f"{what} to floats: dot * scale + bias, rounded once (fused multiply-add).",
            (x, w, _SCALE, _BIAS),
            (floats,),
            ranged,
            _SCALE_BODY.format(call=call),
        ),
        Operator(
            f"{kind}ScaleClamp",
            f"{what} to floats in an interval: v = dot * scale + bias, rounded once, then"
            " min(max(v, low), high).",
            (x, w, _SCALE, _BIAS, _LOW, _HIGH),
            (floats,),
            ranged,
            _CLAMP_BODY.format(call=call),
        ),
        Operator(
            f"{kind}ScalePRelu",
            f"{what} to floats with a PReLU: v = dot * scale + bias, rounded once, then"
            " v * slope where v < 0.",
            (x, w, _SCALE, _BIAS, _SLOPE),
            (floats,),
            ranged,
            _PRELU_BODY.format(call=call),
        ),
        Operator(
            f"{kind}Residual",
            f"{what} with a shortcut: Y = (dot * scale + bias, rounded once) + R, and the signs"
            " of Y packed: bit 1 (-1) where Y < 0.",
            (x, w, _SCALE, _BIAS, Tensor("R", "float32", f"[{lead}, O]", "shortcut, added last")),
            (
                Tensor("Y", "float32", f"[{lead}, O]", "sums"),
                Tensor("P", "uint64", packed, "packed signs of Y"),
            ),
            ranged,
            _RESIDUAL_BODY.format(call=call),
        ),
    )


_SHIFTS = ", ".join(str(i) for i in range(64))
_POWERS = ", ".join(str(1 << i) for i in range(32))

HELPERS = (
    Helper(
        "UnpackBits",
        f"""
UnpackBits (X, count) => (Y)
{{
    shifts = Constant <value = uint64[64] {{{_SHIFTS}}}> ()
    one = Constant <value = uint64 {{1}}> ()
    last = Constant <value_ints = [-1]> ()
    first = Constant <value_ints = [0]> ()
    words = Unsqueeze (X, last)
    shifted = BitShift <direction = "RIGHT"> (words, shifts)
    bits = BitwiseAnd (shifted, one)
    f = Cast <to = 1> (bits)
    lead = Shape <start = 0, end = -1> (X)
    shape = Concat <axis = 0> (lead, last)
    all = Reshape (f, shape)
    kept = Slice (all, first, count, last)
    two = Constant <value = float {{2.0}}> ()
    plus = Constant <value = float {{1.0}}> ()
    twice = Mul (kept, two)
    Y = Sub (plus, twice)
}}""",
    ),
    # Sums of 32 powers of two are exact in double; onnxruntime's integer
    # ReduceSum goes through floating point and is not exact for 64 bits.
    Helper(
        "PackBits",
        f"""
PackBits (X) => (Y)
{{
    powers = Constant <value = double[32] {{{_POWERS}}}> ()
    zero = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    tail = Constant <value_ints = [-1, 2, 32]> ()
    word = Constant <value_ints = [64]> ()
    count = Shape <start = -1> (X)
    minus = Neg (count)
    missing = Mod (minus, word)
    pads = Concat <axis = 0> (zero, missing)
    x = Cast <to = 11> (X)
    padded = Pad (x, pads, , last)
    lead = Shape <start = 0, end = -1> (X)
    shape = Concat <axis = 0> (lead, tail)
    halves = Reshape (padded, shape)
    weighted = Mul (halves, powers)
    sums = ReduceSum <keepdims = 0> (weighted, last)
    whole = Cast <to = 13> (sums)
    shifts = Constant <value = uint64[2] {{0, 32}}> ()
    placed = BitShift <direction = "LEFT"> (whole, shifts)
    low, high = Split <axis = -1, num_outputs = 2> (placed)
    both = BitwiseOr (low, high)
    Y = Squeeze (both, last)
}}""",
    ),
    Helper(
        "ConvAccumulate",
        """
ConvAccumulate <channels, strides, dilations, pads, group, pad_value> (X, W) => (A)
{
    axis0 = Constant <value_ints = [0]> ()
    spatial = Constant <value_ints = [2, 3]> ()
    c = Constant <value_int: int = @channels> ()
    g = Constant <value_int: int = @group> ()
    p = Constant <value_ints: ints = @pads> ()
    v = Constant <value_int: int = @pad_value> ()
    channels1 = Unsqueeze (c, axis0)
    per_group = Div (channels1, g)
    xs = sbn.UnpackBits (X, channels1)
    ws = sbn.UnpackBits (W, per_group)
    x = Transpose <perm = [0, 3, 1, 2]> (xs)
    w = Transpose <perm = [0, 3, 1, 2]> (ws)
    border = Cast <to = 1> (v)
    padded = Pad (x, p, border, spatial)
    y = Conv <strides: ints = @strides, dilations: ints = @dilations,
              group: int = @group> (padded, w)
    exact = Round (y)
    last = Transpose <perm = [0, 2, 3, 1]> (exact)
    A = Cast <to = 6> (last)
}""",
    ),
    # Unused bits are 0 on both sides and count as products of +1, which the
    # last lines take off again.
    Helper(
        "DenseAccumulate",
        """
DenseAccumulate <channels> (X, W) => (A)
{
    everything = Constant <value_ints = [9223372036854775807]> ()
    k = Constant <value_int: int = @channels> ()
    x = sbn.UnpackBits (X, everything)
    w = sbn.UnpackBits (W, everything)
    wt = Transpose <perm = [1, 0]> (w)
    y = MatMul (x, wt)
    exact = Round (y)
    all = Cast <to = 6> (exact)
    bits = Shape <start = -1> (x)
    unused = Sub (bits, k)
    unused32 = Cast <to = 6> (unused)
    A = Sub (all, unused32)
}""",
    ),
    Helper(
        "ClampDot",
        """
ClampDot <dot_range> (A) => (Y)
{
    wide = Constant <value_ints: ints = @dot_range> ()
    range = Cast <to = 6> (wide)
    low, high = Split <axis = 0, num_outputs = 2> (range)
    raised = Max (A, low)
    Y = Min (raised, high)
}""",
    ),
    # In double the product is exact, so this is the fused multiply-add of torch's
    # batch-norm but for a second rounding, which changes one result in about 2^28.
    Helper(
        "ScaleAndBias",
        """
ScaleAndBias (A, scale, bias) => (Y)
{
    a = Cast <to = 11> (A)
    s = Cast <to = 11> (scale)
    b = Cast <to = 11> (bias)
    as = Mul (a, s)
    y = Add (as, b)
    Y = Cast <to = 1> (y)
}""",
    ),
    # Sums of at most 514 products are below 2^24, hence exact in float in any order;
    # onnxruntime's ConvInteger saturates on some CPUs.
    Helper(
        "PixelAccumulate",
        """
PixelAccumulate <strides, dilations, pads, pad_value> (X, W) => (A)
{
    spatial = Constant <value_ints = [2, 3]> ()
    p = Constant <value_ints: ints = @pads> ()
    v = Constant <value_int: int = @pad_value> ()
    xs = Cast <to = 1> (X)
    ws = Cast <to = 1> (W)
    x = Transpose <perm = [0, 3, 1, 2]> (xs)
    w = Transpose <perm = [0, 3, 1, 2]> (ws)
    border = Cast <to = 1> (v)
    padded = Pad (x, p, border, spatial)
    y = Conv <strides: ints = @strides, dilations: ints = @dilations> (padded, w)
    exact = Round (y)
    last = Transpose <perm = [0, 2, 3, 1]> (exact)
    A = Cast <to = 6> (last)
}""",
    ),
)

OPERATORS = (
    Operator(
        "Pack",
        "Packs the signs of floats: bit 1 where X < 0, else 0 (so 0, -0.0 and NaN give +1).",
        (Tensor("X", "float32", "[..., C]", "values"),),
        (Tensor("Y", "uint64", "[..., ceil(C/64)]", "packed signs"),),
        (),
        """
    zero = Constant <value = float {0.0}> ()
    negative = Less (X, zero)
    Y = sbn.PackBits (negative)
""",
    ),
    Operator(
        "PackThreshold",
        "Packs floats by one interval for each channel: bit 1 (-1) where X < low or X > high,"
        " else 0. It is what a batch-norm followed by a sign comes to.",
        (
            Tensor("X", "float32", "[..., C]", "values"),
            Tensor("low", "float32", "[C]", "smallest value whose sign is +1"),
            Tensor("high", "float32", "[C]", "largest value whose sign is +1"),
        ),
        (Tensor("Y", "uint64", "[..., ceil(C/64)]", "packed signs"),),
        (),
        """
    under = Less (X, low)
    over = Greater (X, high)
    negative = Or (under, over)
    Y = sbn.PackBits (negative)
""",
    ),
    Operator(
        "Unpack",
        "Unpacks bits to floats: +1 for a clear bit, -1 for a set one.",
        (Tensor("X", "uint64", "[..., ceil(C/64)]", "packed signs"),),
        (Tensor("Y", "float32", "[..., C]", "+1 or -1"),),
        (_CHANNELS,),
        """
    axis0 = Constant <value_ints = [0]> ()
    c = Constant <value_int: int = @channels> ()
    count = Unsqueeze (c, axis0)
    Y = sbn.UnpackBits (X, count)
""",
    ),
    Operator(
        "MaxPool",
        "Max-pools packed signs; elements beyond the border are ignored. Channels whose bit"
        " in `minimum` is set are min-pooled instead, which is what a max-pool before a"
        " batch-norm with negative scale comes to after the sign.",
        (
            Tensor("X", "uint64", "[N, H, W, ceil(C/64)]", "packed signs"),
            Tensor("minimum", "uint64", "[ceil(C/64)]", "channels to min-pool"),
        ),
        (Tensor("Y", "uint64", "[N, OH, OW, ceil(C/64)]", "packed signs"),),
        _POOL_ATTRIBUTES,
        """
    everything = Constant <value_ints = [9223372036854775807]> ()
    xs = sbn.UnpackBits (X, everything)
    m = sbn.UnpackBits (minimum, everything)
    turned = Mul (xs, m)
    x = Transpose <perm = [0, 3, 1, 2]> (turned)
    pooled = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
                      pads: ints = @pads> (x)
    last = Transpose <perm = [0, 2, 3, 1]> (pooled)
    back = Mul (last, m)
    zero = Constant <value = float {0.0}> ()
    negative = Less (back, zero)
    Y = sbn.PackBits (negative)
""",
    ),
    *_products("Conv", _CONV_X, _CONV_W, "N, OH, OW", _CONV_ATTRIBUTES, _CONV_CALL),
    *_products("Dense", _DENSE_X, _DENSE_W, "N", _DENSE_ATTRIBUTES, _DENSE_CALL),
    Operator(
        "PixelConvThreshold",
        "Convolution of an 8-bit image with 8-bit weights and a sign at the end: bit 1 (-1)"
        " where the sum of pixel * weight < T. At most 514 products in a sum.",
        (_PIXELS, _PIXEL_W, _PIXEL_THRESHOLD),
        (Tensor("Y", "uint64", "[N, OH, OW, ceil(O/64)]", "packed signs"),),
        _PIXEL_ATTRIBUTES,
        f"""
    A = {_PIXEL_CALL}
    below = Less (A, T)
    Y = sbn.PackBits (below)
""",
    ),
    Operator(
        "PixelConvScale",
        "Convolution of an 8-bit image with 8-bit weights to floats: sum * scale + bias,"
        " rounded once (fused multiply-add). At most 514 products in a sum.",
        (_PIXELS, _PIXEL_W, _SCALE, _BIAS),
        (Tensor("Y", "float32", "[N, OH, OW, O]", "scaled sums"),),
        _PIXEL_ATTRIBUTES,
        f"""
    A = {_PIXEL_CALL}
    Y = sbn.ScaleAndBias (A, scale, bias)
""",
    ),
    Operator(
        "PixelConvScaleClamp",
        "Convolution of an 8-bit image with 8-bit weights to floats in an interval:"
        " v = sum * scale + bias, rounded once, then min(max(v, low), high)."
        " At most 514 products in a sum.",
        (_PIXELS, _PIXEL_W, _SCALE, _BIAS, _LOW, _HIGH),
        (Tensor("Y", "float32", "[N, OH, OW, O]", "scaled sums"),),
        _PIXEL_ATTRIBUTES,
        f"""
    A = {_PIXEL_CALL}{_CLAMP_STEPS}""",
    ),
    Operator(
        "FloatMaxPool",
        "Max-pools floats; elements beyond the border are ignored. A NaN is ignored as well, and a"
        " window of nothing else gives -inf. The first of equal elements, rows first, is taken,"
        " which decides the sign of a zero. The body may give another sign of zero, the lowest"
        " finite float for -inf, and anything for NaN.",
        (Tensor("X", "float32", "[N, H, W, C]", "values"),),
        (Tensor("Y", "float32", "[N, OH, OW, C]", "largest values"),),
        (
            *_POOL_ATTRIBUTES,
            Attribute("relu", 0, 1, "1: results below +0.0, -0.0 and -inf among them, become +0.0"),
        ),
        """
    x = Transpose <perm = [0, 3, 1, 2]> (X)
    pooled = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
                      pads: ints = @pads> (x)
    last = Transpose <perm = [0, 2, 3, 1]> (pooled)
    one = Constant <value_int: int = @relu> ()
    wanted = Cast <to = 9> (one)
    positive = Relu (last)
    Y = Where (wanted, positive, last)
""",
    ),
    Operator(
        "FloatDepthwiseConv",
        "Convolves each channel of floats with a filter of its own: starting from B, one fused"
        " multiply-add for each element of the filter, rows first; those that lie beyond the"
        " border are skipped. Which NaN a NaN is, is not defined. The body may round otherwise."
        " With weights 1 / (kh * kw) this is an average pool that counts the border.",
        (
            Tensor("X", "float32", "[N, H, W, C]", "values"),
            Tensor("W", "float32", "[kh, kw, C]", "weights"),
            Tensor("B", "float32", "[C]", "offset of each channel"),
        ),
        (Tensor("Y", "float32", "[N, OH, OW, C]", "sums"),),
        _CONV_ATTRIBUTES[:4],
        """
    axis1 = Constant <value_ints = [1]> ()
    x = Transpose <perm = [0, 3, 1, 2]> (X)
    filters = Transpose <perm = [2, 0, 1]> (W)
    w = Unsqueeze (filters, axis1)
    y = Conv <strides: ints = @strides, dilations: ints = @dilations, pads: ints = @pads,
              group: int = @channels> (x, w, B)
    Y = Transpose <perm = [0, 2, 3, 1]> (y)
""",
    ),
)

BY_NAME = {operator.name: operator for operator in OPERATORS}


def function_text(operator: Operator) -> str:
    """The operator's function in ONNX's textual syntax."""
    attributes = ", ".join(attribute.name for attribute in operator.attributes)
    inputs = ", ".join(tensor.name for tensor in operator.inputs)
    outputs = ", ".join(tensor.name for tensor in operator.outputs)
    head = f"{operator.name} <{attributes}>" if attributes else operator.name
    return f"{head} ({inputs}) => ({outputs})\n{{{operator.body}}}"
