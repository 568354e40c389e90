"""Functions that the bodies of several operators call; see `ops`."""

from __future__ import annotations

from dataclasses import dataclass

from .ops import MAX_PADDED_PIXELS, MAX_PADDED_RATIO


@dataclass(frozen=True)
class Helper:
    """A function that bodies share; it has no kernel of its own."""

    name: str
    text: str


# Rotations of Threefry4x32 and the parity of its key schedule (Salmon et al., SC 2011).
_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
_PARITY = 0x1BD11BDA
_ROUNDS = 12


def _random_bits() -> str:
    """16-bit random numbers int32 [S, 1, pixels, channels] in 64-bit integer arithmetic.

    Words are int64 in [0, 2^32): x0 to x3, each [S, groups of 4 pixels, pairs of channels].
    """
    lines = [
        "axis0 = Constant <value_ints = [0]> ()",
        "first = Constant <value_int = 0> ()",
        "one = Constant <value_int = 1> ()",
        "two = Constant <value_int = 2> ()",
        "three = Constant <value_int = 3> ()",
        "four = Constant <value_int = 4> ()",
        "word = Constant <value_int = 4294967296> ()",
        "mask = Constant <value_int = 4294967295> ()",
        "half = Constant <value_int = 65536> ()",
        f"parity = Constant <value_int = {_PARITY}> ()",
        "as_pairs = Constant <value_ints = [1, 1, -1]> ()",
        "as_groups = Constant <value_ints = [1, -1, 1]> ()",
        "as_samples = Constant <value_ints = [-1, 1, 1]> ()",
        "c = Squeeze (channels, axis0)",
        "p = Squeeze (pixels, axis0)",
        "c1 = Add (c, one)",
        "pairs = Div (c1, two)",
        "p3 = Add (p, three)",
        "groups = Div (p3, four)",
        "pair = Range (first, pairs, one)",
        "group = Range (first, groups, one)",
        "sample = Range (first, samples, one)",
        "n0 = Reshape (pair, as_pairs)",
        "n1 = Reshape (group, as_groups)",
        "n2 = Constant <value_int = 0> ()",
        "n3 = Constant <value_int = 0> ()",
        "k0 = BitwiseAnd (seed, mask)",
        "k1 = Div (seed, word)",
        "k2 = Constant <value_int: int = @layer> ()",
        "later = Add (sample, first_sample)",
        "k3 = Reshape (later, as_samples)",
        "k01 = BitwiseXor (k0, k1)",
        "k012 = BitwiseXor (k01, k2)",
        "k0123 = BitwiseXor (k012, k3)",
        "k4 = BitwiseXor (k0123, parity)",
    ]
    names = ["n0", "n1", "n2", "n3"]

    def add(index: int, other: str, tag: str) -> None:
        lines.append(f"s{tag} = Add ({names[index]}, {other})")
        lines.append(f"a{tag} = BitwiseAnd (s{tag}, mask)")
        names[index] = f"a{tag}"

    for index in range(4):
        add(index, f"k{index}", f"i{index}")
    for turn in range(_ROUNDS):
        for half, (to, by) in enumerate(((0, 1), (2, 3)) if turn % 2 == 0 else ((0, 3), (2, 1))):
            tag = f"{turn}_{half}"
            add(to, names[by], f"r{tag}")
            lines += [
                f"t{tag} = Constant <value_int = {1 << _ROTATIONS[turn % 8][half]}> ()",
                f"m{tag} = Mul ({names[by]}, t{tag})",
                f"h{tag} = Div (m{tag}, word)",
                f"l{tag} = BitwiseAnd (m{tag}, mask)",
                f"o{tag} = BitwiseOr (h{tag}, l{tag})",
                f"x{tag} = BitwiseXor (o{tag}, {names[to]})",
            ]
            names[by] = f"x{tag}"
        if turn % 4 == 3:
            injection = turn // 4 + 1
            for index in range(4):
                add(index, f"k{(injection + index) % 5}", f"k{injection}_{index}")
            lines.append(f"v{injection} = Constant <value_int = {injection}> ()")
            add(3, f"v{injection}", f"c{injection}")
    lines += [
        "axis2 = Constant <value_ints = [2]> ()",
        "axis4 = Constant <value_ints = [4]> ()",
        *(f"w{index} = Unsqueeze ({name}, axis2)" for index, name in enumerate(names)),
        "words = Concat <axis = 2> (w0, w1, w2, w3)",
        "low = BitwiseAnd (words, low_mask)",
        "high = Div (words, half)",
        "low4 = Unsqueeze (low, axis4)",
        "high4 = Unsqueeze (high, axis4)",
        "halves = Concat <axis = 4> (low4, high4)",
        "groups4 = Mul (groups, four)",
        "pairs2 = Mul (pairs, two)",
        "samples1 = Unsqueeze (samples, axis0)",
        "one1 = Unsqueeze (one, axis0)",
        "rows = Unsqueeze (groups4, axis0)",
        "columns = Unsqueeze (pairs2, axis0)",
        "shape = Concat <axis = 0> (samples1, one1, rows, columns)",
        "all = Reshape (halves, shape)",
        "begin = Constant <value_ints = [0, 0]> ()",
        "axes = Constant <value_ints = [2, 3]> ()",
        "end = Concat <axis = 0> (pixels, channels)",
        "used = Slice (all, begin, end, axes)",
        "Y = Cast <to = 6> (used)",
    ]
    lines.insert(9, "low_mask = Constant <value_int = 65535> ()")
    text = "\n    ".join(lines)
    head = "RandomBits <layer> (pixels, channels, seed, first_sample, samples) => (Y)"
    return f"{head}\n{{\n    {text}\n}}"


_SHIFTS = ", ".join(str(i) for i in range(64))
_POWERS = ", ".join(str(1 << i) for i in range(32))


# a * scale + bias, rounded once to float32, as a fused multiply-add does. `a` is float32, or an
# integer of at most 2^24 in size, so that the product p is exact in double. But y = p + b is
# rounded, and float32 would round it again. `error` is exactly what y lacks (Knuth's two-sum).
# The second rounding goes wrong only where y is the middle of two float32, from where the error
# says the way; all middles have at most 25 significant bits. `high` is y rounded to 25 bits
# (Veltkamp's split). Where that is y, y is moved towards the sum by a relative 2^-28: off the
# middle, and not as far as the next number of 25 bits. Other y stay: the sum lies between the
# same two numbers of 25 bits as they do. Where y is infinite or NaN, `high` is NaN, and y stays
# too. As y is multiplied, a zero keeps its sign.
_SUM = """
    a32 = Cast <to = 1> ({a})
    a64 = Cast <to = 11> (a32)
    s64 = Cast <to = 11> ({scale})
    b64 = Cast <to = 11> ({bias})
    p = Mul (a64, s64)
    y = Add (p, b64)
    b_added = Sub (y, p)
    p_kept = Sub (y, b_added)
    p_error = Sub (p, p_kept)
    b_error = Sub (b64, b_added)
    error = Add (p_error, b_error)"""
_OFF_THE_MIDDLE = f"""
    splitter = Constant <value = double {{{(1 << 28) + 1}.0}}> ()
    split = Mul (y, splitter)
    low = Sub (split, y)
    high = Sub (split, low)
    short = Equal (high, y)
    y_sign = Sign (y)
    error_sign = Sign (error)
    away = Mul (y_sign, error_sign)
    step = Constant <value = double {{{2.0**-28!r}}}> ()
    one64 = Constant <value = double {{1.0}}> ()
    little = Mul (away, step)
    moved = Add (one64, little)
    factor = Where (short, moved, one64)
    near = Mul (y, factor)"""

HELPERS = (
    # ONNX has no assertions. An index that is out of bounds is refused by every engine, and as
    # the result depends on it, nothing is computed of it before.
    Helper(
        "Within",
        """
Within (X, values, least, most) => (Y)
{
    under = Less (values, least)
    over = Greater (values, most)
    outside = Or (under, over)
    index = Cast <to = 7> (outside)
    only = Constant <value_ints = [0]> ()
    zeros = Gather (only, index)
    none = ReduceSum <keepdims = 0> (zeros)
    sizes = Shape (X)
    shape = Add (sizes, none)
    Y = Reshape (X, shape)
}""",
    ),
    Helper(
        "WithinPadding",
        f"""
WithinPadding (X, pads) => (Y)
{{
    image = Shape <start = 1, end = 3> (X)
    before, after = Split <axis = 0, num_outputs = 2> (pads)
    more = Add (image, before)
    padded = Add (more, after)
    height, width = Split <axis = 0, num_outputs = 2> (image)
    padded_height, padded_width = Split <axis = 0, num_outputs = 2> (padded)
    own = Mul (height, width)
    ratio = Constant <value_ints = [{MAX_PADDED_RATIO}]> ()
    floor = Constant <value_ints = [{MAX_PADDED_PIXELS}]> ()
    times = Mul (own, ratio)
    most = Max (times, floor)
    pixels = Mul (padded_height, padded_width)
    least = Constant <value_ints = [0]> ()
    Y = sbn.Within (X, pixels, least, most)
}}""",
    ),
    # Bits of the last word from `count` on are 0, and there are no more words than that takes.
    Helper(
        "WithoutUnusedBits",
        """
WithoutUnusedBits (X, count) => (Y)
{
    axis0 = Constant <value_ints = [0]> ()
    word = Constant <value_ints = [64]> ()
    none = Constant <value_ints = [0]> ()
    end = Constant <value_int = -1> ()
    bits = Constant <value_ints = [63]> ()
    more = Add (count, bits)
    words = Div (more, word)
    given = Shape <start = -1> (X)
    enough = sbn.Within (X, given, words, words)
    last = Gather <axis = -1> (enough, end)
    used = Mod (count, word)
    shift = Cast <to = 13> (used)
    beyond = BitShift <direction = "RIGHT"> (last, shift)
    set = Cast <to = 9> (beyond)
    ones = Cast <to = 6> (set)
    some = ReduceSum <keepdims = 0> (ones)
    whole = Equal (used, none)
    zero = Constant <value = int32 {0}> ()
    wrong = Where (whole, zero, some)
    number = Cast <to = 7> (wrong)
    Y = sbn.Within (enough, number, none, none)
}""",
    ),
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
    x_bits = sbn.WithoutUnusedBits (X, channels1)
    w_bits = sbn.WithoutUnusedBits (W, per_group)
    xs = sbn.UnpackBits (x_bits, channels1)
    ws = sbn.UnpackBits (w_bits, per_group)
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
    Helper(
        "RoundToInt16",
        """
RoundToInt16 (X) => (Y)
{
    high = Constant <value = float {32767.0}> ()
    low = Constant <value = float {-32768.0}> ()
    under = Less (X, high)
    bounded = Where (under, X, high)
    over = Greater (bounded, low)
    inside = Where (over, bounded, low)
    whole = Round (inside)
    Y = Cast <to = 5> (whole)
}""",
    ),
    Helper("RandomBits", _random_bits()),
    # Most sums of a layer are exact in double, and then nothing is to be moved: no turn is taken.
    Helper(
        "ScaleAndBias",
        f"""
ScaleAndBias (A, scale, bias) => (Y)
{{{_SUM.format(a="A", scale="scale", bias="bias")}
    inexact = ReduceL1 <keepdims = 0> (error)
    nothing = Constant <value = double {{0.0}}> ()
    exact = Equal (inexact, nothing)
    none = Constant <value_int = 0> ()
    once = Constant <value_int = 1> ()
    turns = Where (exact, none, once)
    result = Loop (turns, , y) <body = move (int64 i, bool before, double[] same)
                                         => (bool after, double[] near) {{
    after = Identity (before){_OFF_THE_MIDDLE}
    }}>
    Y = Cast <to = 1> (result)
}}""",
    ),
    # FloatDepthwiseConv as it is defined, but where `safe`: a fused multiply-add for each element
    # of the filter, but for those beyond the border. `sums` are in the shape of Y, and are Y where
    # `safe`. (A loop's body cannot call other functions of the file.)
    Helper(
        "AddInOrder",
        f"""
AddInOrder <strides, dilations, pads> (X, W, B, sums, safe) => (Y)
{{
    axis0 = Constant <value_ints = [0]> ()
    spatial = Constant <value_ints = [1, 2]> ()
    unit = Constant <value_ints = [1]> ()
    given_pads = Constant <value_ints: ints = @pads> ()
    d = Constant <value_ints: ints = @dilations> ()
    s = Constant <value_ints: ints = @strides> ()
    sizes = Shape <start = 1, end = 3> (X)
    pixels = Concat <axis = 0> (unit, sizes, unit)
    outputs = Shape <start = 1, end = 3> (sums)
    before_last = Sub (outputs, unit)
    last = Mul (before_last, s)
    length = Add (last, unit)
    shape = Shape (sums)
    biases = Expand (B, shape)
    first = Where (safe, sums, biases)
    kernel = Shape <start = 0, end = 2> (W)
    kernel_h, kernel_w = Split <axis = 0, num_outputs = 2> (kernel)
    elements = Mul (kernel_h, kernel_w)
    none = Constant <value_ints = [0]> ()
    turns1 = Where (safe, none, elements)
    turns = Squeeze (turns1, axis0)
    Y = Loop (turns, , first) <body = element (int64 i, bool before, float[n, h, w, c] sum)
                                           => (bool after, float[n, h, w, c] result) {{
    after = Identity (before)
    row = Div (i, kernel_w)
    column = Mod (i, kernel_w)
    at = Concat <axis = 0> (row, column)
    begin = Mul (at, d)
    end = Add (begin, length)
    padded = Pad (X, given_pads, , spatial)
    image = ConstantOfShape <value = float[1] {{1.0}}> (pixels)
    with_border = Pad (image, given_pads, , spatial)
    inside = Cast <to = 9> (with_border)
    x = Slice (padded, begin, end, spatial, s)
    here = Slice (inside, begin, end, spatial, s)
    factors = GatherND (W, at){_SUM.format(a="x", scale="factors", bias="sum")}{_OFF_THE_MIDDLE}
    added = Cast <to = 1> (near)
    result = Where (here, added, sum)
    }}>
}}""",
    ),
    Helper(
        "ScaledDot",
        """
ScaledDot <dot_offset> (A, scale, bias) => (Y)
{
    offset = Constant <value_int: int = @dot_offset> ()
    none = Constant <value_int = 0> ()
    whole = Cast <to = 6> (offset)
    moved = Add (A, whole)
    dots = Cast <to = 1> (moved)
    products = Mul (dots, scale)
    twice = Add (products, bias)
    once = sbn.ScaleAndBias (A, scale, bias)
    fused = Equal (offset, none)
    Y = Where (fused, once, twice)
}""",
    ),
    Helper(
        "Activate",
        """
Activate (x, a) => (Y)
{
    first = Constant <value_int = 0> ()
    second = Constant <value_int = 1> ()
    third = Constant <value_int = 2> ()
    fourth = Constant <value_int = 3> ()
    fifth = Constant <value_int = 4> ()
    sixth = Constant <value_int = 5> ()
    shift = Gather <axis = 0> (a, first)
    slope = Gather <axis = 0> (a, second)
    gain = Gather <axis = 0> (a, third)
    offset = Gather <axis = 0> (a, fourth)
    low = Gather <axis = 0> (a, fifth)
    high = Gather <axis = 0> (a, sixth)
    zero = Constant <value = float {0.0}> ()
    moved = Add (x, shift)
    negative = Less (moved, zero)
    sloped = Mul (moved, slope)
    gained = Mul (moved, gain)
    bent = Where (negative, sloped, gained)
    v = Add (bent, offset)
    below = Less (v, low)
    raised = Where (below, low, v)
    above = Greater (raised, high)
    Y = Where (above, high, raised)
}""",
    ),
    # Sums of halves of pixels are exact in float in any order, for up to ops.MAX_PIXEL_PRODUCTS;
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
    sixteen = Constant <value = float {16.0}> ()
    sixteenths = Div (padded, sixteen)
    upper = Floor (sixteenths)
    multiple = Mul (upper, sixteen)
    lower = Sub (padded, multiple)
    yu = Conv <strides: ints = @strides, dilations: ints = @dilations> (upper, w)
    yl = Conv <strides: ints = @strides, dilations: ints = @dilations> (lower, w)
    exact_u = Round (yu)
    exact_l = Round (yl)
    au = Cast <to = 6> (exact_u)
    al = Cast <to = 6> (exact_l)
    factor = Cast <to = 6> (sixteen)
    whole = Mul (au, factor)
    sum = Add (whole, al)
    A = Transpose <perm = [0, 2, 3, 1]> (sum)
}""",
    ),
)
