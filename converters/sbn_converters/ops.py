"""The specification of every operator in the `sbn` domain, said once.

From the specifications below come the tables that the C++ op library
registers (`runtime/src/op_specs.inc`), the schemas that the onnx checker
uses, the function bodies embedded in every exported file, docs/operators.md
and the parametrised tests. `python -m sbn_converters.generate` writes the generated
files; a test fails when they are stale.

Conventions (all operators):

- Channels are the last axis. Packed tensors are uint64 with channel c in word
  c // 64, bit c % 64; a set bit means -1. Unused bits are 0: convolutions refuse
  set ones, others leave unused bits as they are or ignore them.
- A binary product of K terms is `dot = K - 2 * popcount(x xor w)`, for all bits of
  the rows where it is dense.
- sign(0) = sign(-0.0) = sign(NaN) = +1. A zero may have either sign in a body, and
  a NaN may be another one.
- What is not valid, attributes, shapes or numbers out of their range, the library
  refuses before it allocates anything for it. So does a body that would ask for
  more memory, or answer anything else, because of it.

Stochastic signs are drawn from whole numbers: an operator whose name ends in
`Quantize` turns what a sign is taken of into int16, and `StochasticSign` draws from
that with integer arithmetic only, so that every engine draws the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

DOMAIN = "sbn"
VERSION = 1
ONNX_OPSET = 20
# onnxruntime 1.17 reads at most this version.
IR_VERSION = 9

DType = Literal["float32", "uint64", "int64", "int32", "int16", "uint8", "int8"]
MAX_DIM = 1 << 20
# Products in a binary sum: float32, in which the bodies count, is exact up to here.
MAX_PRODUCTS = 1 << 24
# Products of an 8-bit pixel and an 8-bit weight in a sum: the pixels under one output pixel fit
# into the memory that kernels copy them to, and the bodies' sums of half a pixel's bits stay
# below 2^24.
MAX_PIXEL_PRODUCTS = 1 << 12
# So few that the whole sum stays below 2^24, where float32 counts exactly. So do the sums of
# 2 p - 255 that networks are trained with, for weights up to 127.
MAX_EXACT_PIXEL_PRODUCTS = ((1 << 24) - 1) // (255 * 128)
# Limits of a padded image, in pixels and relative to the image: what a window
# slides over takes memory in proportion, and a file of a few bytes must not ask for gigabytes.
# Dilated kernels need padding of more than a small image's size; nothing known needs this much.
MAX_PADDED_PIXELS = 1 << 14
MAX_PADDED_RATIO = 16
# Samples of noise in one call; as many as `sbn_runtime` takes.
MAX_SAMPLES = 1 << 16


def padding_fits(image: tuple[int | None, int | None], pads: Sequence[int]) -> bool:
    """Whether operators take an image of this height and width with [top, left, bottom, right].

    Sizes that are None are unknown: then whether they take an image of any size.
    """
    (height, width), down, across = image, pads[0] + pads[2], pads[1] + pads[3]
    if height is None or width is None:
        # So little always fits: a single row becomes less than MAX_PADDED_RATIO rows, and where
        # it becomes more than that times its pixels, it is too short for MAX_PADDED_PIXELS.
        return max(down, across) < MAX_PADDED_RATIO - 1
    most = max(MAX_PADDED_PIXELS, MAX_PADDED_RATIO * height * width)
    return (height + down) * (width + across) <= most


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

    Every value lies in [minimum, maximum], which are tuples where each value has its own.
    """

    name: str
    minimum: int | tuple[int, ...]
    maximum: int | tuple[int, ...]
    doc: str
    length: int | None = None

    @property
    def limits(self) -> list[tuple[int, int]]:
        """[minimum, maximum] of each value."""
        bounds = (self.minimum, self.maximum)
        count = self.length or 1
        low, high = (bound if isinstance(bound, tuple) else (bound,) * count for bound in bounds)
        return list(zip(low, high, strict=True))

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Those of `limits` that differ."""
        return list(dict.fromkeys(self.limits))


@dataclass(frozen=True)
class Operator:
    """One operator: its interface and the ONNX function that defines it."""

    name: str
    doc: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: tuple[Attribute, ...]
    body: str

    def problem(
        self, attributes: Mapping[str, Any], image: tuple[int | None, int | None] = (None, None)
    ) -> str:
        """Why the operator does not take these numbers; empty if it does.

        image: height and width of X, None where they are not known.
        """
        for attribute in self.attributes:
            value = attributes[attribute.name]
            numbers = value if isinstance(value, list) else [value]
            pairs = zip(numbers, attribute.limits, strict=True)
            if not all(low <= number <= high for number, (low, high) in pairs):
                ranges = " and ".join(f"[{low}, {high}]" for low, high in attribute.ranges)
                return f"attribute {attribute.name} is {value}, not in {ranges}"
        if "pads" in attributes and not padding_fits(image, attributes["pads"]):
            return (
                f"attribute pads is {attributes['pads']}: padded images have at most"
                f" {MAX_PADDED_PIXELS} pixels, or {MAX_PADDED_RATIO} times their own"
            )
        return ""

    def check(
        self, attributes: Mapping[str, object], image: tuple[int | None, int | None] = (None, None)
    ) -> None:
        """Checks the attributes of a node that is about to be written, see `problem`.

        Raises:
            TypeError: a value is neither an integer nor a list of as many as there must be.
            ValueError: one is unknown, missing or out of range.
        """
        known = {attribute.name: attribute for attribute in self.attributes}
        for name in sorted(known.keys() ^ attributes.keys()):
            problem = "is missing" if name in known else "is unknown"
            raise ValueError(f"{DOMAIN}.{self.name}: attribute {name} {problem}")
        for name, value in attributes.items():
            length = known[name].length
            numbers: list[Any] = value if isinstance(value, list) else [value]
            if not all(type(number) is int for number in numbers) or (
                isinstance(value, list) != (length is not None) or len(numbers) != (length or 1)
            ):
                wanted = f"a list of {length} integers" if length else "an integer"
                raise TypeError(f"{DOMAIN}.{self.name}: attribute {name} is {value}, not {wanted}")
        if problem := self.problem(attributes, image):
            raise ValueError(f"{DOMAIN}.{self.name}: {problem}")


_CHANNELS = Attribute("channels", 1, MAX_DIM, "number of input channels C")
_PADS = Attribute("pads", 0, 1 << 15, "[top, left, bottom, right]; see [padding](#padding)", 4)
_CONV_ATTRIBUTES = (
    _CHANNELS,
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("dilations", 1, 1 << 15, "[vertical, horizontal]", 2),
    _PADS,
    Attribute("group", 1, MAX_DIM, "number of groups; divides C and O"),
    Attribute("pad_value", -1, 1, "value of every border element: -1, 0 or +1"),
)
_DENSE_ATTRIBUTES = (
    Attribute(
        "channels",
        1,
        MAX_PRODUCTS,
        "number of products K in a row; at most 64 * Kw, the rest being unused bits",
    ),
)
# What is scaled is then at most MAX_PRODUCTS in size, which float32 holds exactly.
_DOT_RANGE = Attribute(
    "dot_range",
    (-(1 << 31), -MAX_PRODUCTS),
    (MAX_PRODUCTS, (1 << 31) - 1),
    "[low, high]: the dot product is raised to low, then lowered to high, before it is scaled;"
    " the full range of int32 where nothing is clamped",
    2,
)
_DOT_OFFSET = Attribute(
    "dot_offset",
    -(1 << 25),
    1 << 25,
    "0: dot * scale + bias is rounded once (fused multiply-add); else it is"
    " (dot + dot_offset) * scale, rounded, plus bias, rounded again",
)
_POOL_ATTRIBUTES = (
    Attribute("kernel_shape", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute(
        "pads",
        0,
        1 << 15,
        "[top, left, bottom, right], each below the kernel's size; see [padding](#padding)",
        4,
    ),
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
_ACTIVATION = (
    "shift, slope, gain, offset, low and high of each output channel, see [activations]"
    "(#activations)"
)
_INNER = Tensor("inner", "float32", "[6, O]", f"before R is added: {_ACTIVATION}")
_OUTER = Tensor("outer", "float32", "[6, O]", f"after R is added: {_ACTIVATION}")
_BOUNDS = Tensor(
    "bounds",
    "float32",
    "[2, O]",
    "smallest and largest Y whose sign is +1, for each output channel",
)
_PIXELS = Tensor("X", "uint8", "[N, H, W, C]", "an 8-bit image")
_PIXEL_W = Tensor("W", "int8", "[O, kh, kw, C]", "weights, constant for best speed")
_PIXEL_THRESHOLD = Tensor(
    "T", "int32", "[O]", "smallest sum whose sign is +1, for each output channel"
)
_PIXEL_ATTRIBUTES = (
    Attribute("strides", 1, 1 << 15, "[vertical, horizontal]", 2),
    Attribute("dilations", 1, 1 << 15, "[vertical, horizontal]", 2),
    _PADS,
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
_PIXEL_LIMIT = (
    f"At most {MAX_PIXEL_PRODUCTS} products in a sum, which is taken as the nearest float32."
)
_PIXEL_CALL = (
    "sbn.PixelAccumulate <strides: ints = @strides, dilations: ints = @dilations,"
    " pads: ints = @pads, pad_value: int = @pad_value> (X, W)"
)

_SCALED_DOT = "sbn.ScaledDot <dot_offset: int = @dot_offset> (A, scale, bias)"
_SCALE_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    Y = {_SCALED_DOT}
"""
_CLAMP_STEPS = """
    below = Less (v, low)
    raised = Where (below, low, v)
    above = Greater (raised, high)
    Y = Where (above, high, raised)
"""
_CLAMP_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = {_SCALED_DOT}{_CLAMP_STEPS}"""
_PRELU_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = {_SCALED_DOT}
    zero = Constant <value = float {{{{0.0}}}}> ()
    negative = Less (v, zero)
    sloped = Mul (v, slope)
    Y = Where (negative, sloped, v)
"""
_RESIDUAL_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = {_SCALED_DOT}
    Y = Add (v, R)
    zero = Constant <value = float {{{{0.0}}}}> ()
    negative = Less (Y, zero)
    P = sbn.PackBits (negative)
"""
_ACTIVATE_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = {_SCALED_DOT}
    i = sbn.Activate (v, inner)
    u = Add (i, R)
    Y = sbn.Activate (u, outer)
    first = Constant <value_int = 0> ()
    second = Constant <value_int = 1> ()
    low = Gather <axis = 0> (bounds, first)
    high = Gather <axis = 0> (bounds, second)
    below = Less (Y, low)
    above = Greater (Y, high)
    outside = Or (below, above)
    P = sbn.PackBits (outside)
"""
_QUANTIZE_BODY = f"""
    all = {{call}}
    A = {_CLAMP_DOT}
    v = {_SCALED_DOT}
    Y = sbn.RoundToInt16 (v)
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
    ranged = (*attributes, _DOT_RANGE, _DOT_OFFSET)
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
            f"{what} to floats: v = dot * scale + bias, see `dot_offset`.",
            (x, w, _SCALE, _BIAS),
            (floats,),
            ranged,
            _SCALE_BODY.format(call=call),
        ),
        Operator(
            f"{kind}ScaleClamp",
            f"{what} to floats in an interval: v = dot * scale + bias, see `dot_offset`, then"
            " min(max(v, low), high).",
            (x, w, _SCALE, _BIAS, _LOW, _HIGH),
            (floats,),
            ranged,
            _CLAMP_BODY.format(call=call),
        ),
        Operator(
            f"{kind}ScalePRelu",
            f"{what} to floats with a PReLU: v = dot * scale + bias, see `dot_offset`, then"
            " v * slope where v < 0.",
            (x, w, _SCALE, _BIAS, _SLOPE),
            (floats,),
            ranged,
            _PRELU_BODY.format(call=call),
        ),
        Operator(
            f"{kind}Quantize",
            f"{what} to 16-bit integers: v = dot * scale + bias, see `dot_offset`, then to the"
            " nearest integer, ties to even, at least -32768 and at most 32767.",
            (x, w, _SCALE, _BIAS),
            (Tensor("Y", "int16", f"[{lead}, O]", "rounded v"),),
            ranged,
            _QUANTIZE_BODY.format(call=call),
        ),
        Operator(
            f"{kind}Residual",
            f"{what} with a shortcut: Y = (dot * scale + bias, see `dot_offset`) + R, and the signs"
            " of Y packed: bit 1 (-1) where Y < 0.",
            (x, w, _SCALE, _BIAS, Tensor("R", "float32", f"[{lead}, O]", "shortcut, added last")),
            (
                Tensor("Y", "float32", f"[{lead}, O]", "sums"),
                Tensor("P", "uint64", packed, "packed signs of Y"),
            ),
            ranged,
            _RESIDUAL_BODY.format(call=call),
        ),
        Operator(
            f"{kind}Activate",
            f"{what} with a shortcut between two activations: Y = outer(inner(v) + R), where"
            " v = dot * scale + bias, see `dot_offset`; and the signs of Y by one interval for each"
            " channel packed: bit 1 (-1) where Y < low or Y > high.",
            (
                *(x, w, _SCALE, _BIAS, _INNER, _OUTER, _BOUNDS),
                Tensor("R", "float32", f"[{lead}, O]", "shortcut"),
            ),
            (
                Tensor("Y", "float32", f"[{lead}, O]", "results"),
                Tensor("P", "uint64", packed, "packed signs of Y"),
            ),
            ranged,
            _ACTIVATE_BODY.format(call=call),
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
        (Attribute("channels", 1, MAX_PRODUCTS, "number of channels C"),),
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
        f" where the sum of pixel * weight < T. At most {MAX_PIXEL_PRODUCTS} products in a sum.",
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
        f" rounded once (fused multiply-add). {_PIXEL_LIMIT}",
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
        f" v = sum * scale + bias, rounded once, then min(max(v, low), high). {_PIXEL_LIMIT}",
        (_PIXELS, _PIXEL_W, _SCALE, _BIAS, _LOW, _HIGH),
        (Tensor("Y", "float32", "[N, OH, OW, O]", "scaled sums"),),
        _PIXEL_ATTRIBUTES,
        f"""
    A = {_PIXEL_CALL}
    v = sbn.ScaleAndBias (A, scale, bias){_CLAMP_STEPS}""",
    ),
    Operator(
        "PixelConvQuantize",
        "Convolution of an 8-bit image with 8-bit weights to 16-bit integers:"
        " v = sum * scale + bias, rounded once, then to the nearest integer, ties to even, at"
        f" least -32768 and at most 32767. {_PIXEL_LIMIT}",
        (_PIXELS, _PIXEL_W, _SCALE, _BIAS),
        (Tensor("Y", "int16", "[N, OH, OW, O]", "rounded v"),),
        _PIXEL_ATTRIBUTES,
        f"""
    A = {_PIXEL_CALL}
    v = sbn.ScaleAndBias (A, scale, bias)
    Y = sbn.RoundToInt16 (v)
""",
    ),
    Operator(
        "Quantize",
        "Floats to 16-bit integers: v = X * scale + bias, rounded once (fused multiply-add),"
        " then to the nearest integer, ties to even, at least -32768 and at most 32767;"
        " NaN gives 32767.",
        (
            Tensor("X", "float32", "[..., C]", "values"),
            Tensor("scale", "float32", "[C]", "factor of each channel"),
            Tensor("bias", "float32", "[C]", "offset of each channel"),
        ),
        (Tensor("Y", "int16", "[..., C]", "rounded v"),),
        (),
        """
    v = sbn.ScaleAndBias (X, scale, bias)
    Y = sbn.RoundToInt16 (v)
""",
    ),
    Operator(
        "QuantizedMaxPool",
        "Max-pools 16-bit integers; elements beyond the border are ignored. Channels whose bit"
        " in `minimum` is set are min-pooled instead.",
        (
            Tensor("X", "int16", "[N, H, W, C]", "values"),
            Tensor("minimum", "uint64", "[ceil(C/64)]", "channels to min-pool"),
        ),
        (Tensor("Y", "int16", "[N, OH, OW, C]", "largest or smallest values"),),
        _POOL_ATTRIBUTES,
        """
    channels = Shape <start = -1> (X)
    m = sbn.UnpackBits (minimum, channels)
    xs = Cast <to = 1> (X)
    turned = Mul (xs, m)
    x = Transpose <perm = [0, 3, 1, 2]> (turned)
    pooled = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
                      pads: ints = @pads> (x)
    last = Transpose <perm = [0, 2, 3, 1]> (pooled)
    back = Mul (last, m)
    Y = Cast <to = 5> (back)
""",
    ),
    Operator(
        "StochasticSign",
        "Samples packed signs: +1 with probability F(x), where F is symmetric, F(-x) = 1 - F(x),"
        " and linear between 64 knots. With k = min(|x|, 32767), i = k // 512, j = k % 512 and"
        " p = start[i] + rise[i] * j // 512, the sign is +1 where r < p if x >= 0, and where"
        " r < 65535 - p if x < 0; r is a 16-bit random number. So a larger x never turns +1 into"
        " -1: each r is a switch point of its own, as in sign(x - z)."
        " Random numbers come from Threefry4x32 with 12 rounds (Salmon et al., Parallel random"
        " numbers: as easy as 1, 2, 3, SC 2011), keyed by (seed mod 2^32, seed / 2^32, layer,"
        " sample), counter (c / 2, p / 4, 0, 0) for channel c of pixel p = y W + x: pixel p"
        " takes word p % 4, an even channel its low half. A sample is thus one network: it is"
        " the same for every image of any batch.",
        (
            Tensor("X", "int16", "[N, ..., C]", "what the signs are sampled from"),
            Tensor("table", "int32", "[2, 64]", "start and rise of F, constant; F never falls"),
            Tensor("seed", "int64", "[]", "0 to 2^63 - 1"),
            Tensor("first_sample", "int64", "[]", "number of the first sample, 0 to 2^31 - S"),
            Tensor("samples", "int64", "[]", f"number of samples S, 1 to {MAX_SAMPLES}"),
        ),
        (Tensor("Y", "uint64", "[S * N, ..., ceil(C/64)]", "packed signs, sample by sample"),),
        (
            Attribute("layer", 0, (1 << 31) - 1, "tells the layers of a network apart"),
            Attribute(
                "fan_out",
                0,
                1,
                "1: X holds N images, each of which is drawn S times; 0: X holds the images"
                " of each sample one after the other, and Y has as many rows as X",
            ),
        ),
        f"""
    axis0 = Constant <value_ints = [0]> ()
    seed1 = Unsqueeze (seed, axis0)
    begin1 = Unsqueeze (first_sample, axis0)
    samples1 = Unsqueeze (samples, axis0)
    end1 = Add (begin1, samples1)
    numbers = Concat <axis = 0> (seed1, begin1, samples1, end1)
    smallest = Constant <value_ints = [0, 0, 1, 1]> ()
    largest = Constant <value_ints = [{(1 << 63) - 1}, {1 << 31}, {MAX_SAMPLES}, {1 << 31}]> ()
    drawn = sbn.Within (samples, numbers, smallest, largest)
    first = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    f = Constant <value_int: int = @fan_out> ()
    images = Shape <start = 0, end = 1> (X)
    channels = Shape <start = -1> (X)
    size = Size (X)
    row = Mul (images, channels)
    pixels = Div (size, row)
    unfanned = Sub (one, f)
    repeated = Mul (unfanned, drawn)
    blocks = Add (repeated, f)
    blocks1 = Unsqueeze (blocks, axis0)
    inner = Div (images, blocks1)
    shape = Concat <axis = 0> (blocks1, inner, pixels, channels)
    wide = Cast <to = 6> (X)
    x = Reshape (wide, shape)
    r = sbn.RandomBits <layer: int = @layer> (pixels, channels, seed, first_sample, drawn)
    zero = Constant <value = int32 {{0}}> ()
    most = Constant <value = int32 {{32767}}> ()
    step = Constant <value = int32 {{512}}> ()
    negative = Less (x, zero)
    size_of = Abs (x)
    k = Min (size_of, most)
    i = Div (k, step)
    below = Mul (i, step)
    j = Sub (k, below)
    second = Constant <value_int = 1> ()
    starts = Gather <axis = 0> (table, first)
    rises = Gather <axis = 0> (table, second)
    start = Gather <axis = 0> (starts, i)
    rise = Gather <axis = 0> (rises, i)
    product = Mul (rise, j)
    part = Div (product, step)
    p = Add (start, part)
    all = Constant <value = int32 {{65535}}> ()
    mirrored = Sub (all, p)
    limit = Where (negative, mirrored, p)
    positive = Less (r, limit)
    bits = Not (positive)
    rows = Mul (samples1, inner)
    rest = Shape <start = 1> (X)
    result = Concat <axis = 0> (rows, rest)
    flat = Reshape (bits, result)
    Y = sbn.PackBits (flat)
""",
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
        " border are skipped. Which NaN a NaN is, is not defined. The body may round otherwise,"
        " unless numbers are so large that a sum may overflow: then it adds in this order as well."
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
    last = Transpose <perm = [0, 2, 3, 1]> (y)
    x_size = ReduceL1 <keepdims = 0> (X)
    w_size = ReduceL1 <keepdims = 0> (W)
    b_size = ReduceL1 <keepdims = 0> (B)
    products = Mul (x_size, w_size)
    bound = Add (products, b_size)
    large = Constant <value = float {1e38}> ()
    safe = Less (bound, large)
    Y = sbn.AddInOrder <strides: ints = @strides, dilations: ints = @dilations,
                        pads: ints = @pads> (X, W, B, last, safe)
""",
    ),
)

BY_NAME = {operator.name: operator for operator in OPERATORS}


def function_text(operator: Operator) -> str:
    """The operator's function in ONNX's textual syntax.

    Its first lines check the attributes: all that follows depends on them, so that the function
    fails before it computes, or allocates, anything.
    """
    attributes = ", ".join(attribute.name for attribute in operator.attributes)
    head = f"{operator.name} <{attributes}>" if attributes else operator.name
    inputs = [tensor.name for tensor in operator.inputs]
    checks = ""
    if operator.attributes:
        checks = _checks(operator.attributes, inputs[0])
        inputs[0] = "given"
    outputs = ", ".join(tensor.name for tensor in operator.outputs)
    return f"{head} ({', '.join(inputs)}) => ({outputs})\n{{{checks}{operator.body}}}"


def _checks(attributes: tuple[Attribute, ...], x: str) -> str:
    """Lines that make of `given` the input `x`, if the attributes are within their ranges."""
    lines = ["given_axis = Constant <value_ints = [0]> ()"]
    for attribute in attributes:
        name = attribute.name
        if attribute.length:
            lines.append(f"given_{name} = Constant <value_ints: ints = @{name}> ()")
        else:
            lines.append(f"given_{name}_0 = Constant <value_int: int = @{name}> ()")
            lines.append(f"given_{name} = Unsqueeze (given_{name}_0, given_axis)")
    limits = [limit for attribute in attributes for limit in attribute.limits]
    named = {attribute.name for attribute in attributes}
    padded = "pads" in named
    lines += [
        f"given_values = Concat <axis = 0> ({', '.join(f'given_{a.name}' for a in attributes)})",
        f"given_least = Constant <value_ints = [{', '.join(str(low) for low, _ in limits)}]> ()",
        f"given_most = Constant <value_ints = [{', '.join(str(high) for _, high in limits)}]> ()",
        f"{'given_valid' if padded else x}"
        " = sbn.Within (given, given_values, given_least, given_most)",
    ]
    if padded:
        lines.append(f"{x} = sbn.WithinPadding (given_valid, given_pads)")
    return "".join(f"\n    {line}" for line in lines)
