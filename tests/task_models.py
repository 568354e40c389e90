"""Small files that answer in each task, made as `sbn export` makes them, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from sbn_converters.onnx import ensemble, write
from sbn_converters.onnx.samples import Samples

from .small_models import Classifier

FEATURES, OUTPUTS = 16, 3
NOISE_SEED, SAMPLES = 7, 4
HEADER = '<ir_version: 9, opset_import: ["": 20, "sbn": 1]>\n'
DENSE = """sbn.DenseScale <channels = 16, dot_range = [-2147483648, 2147483647], dot_offset = 0>"""
ROWS = f"""m (float[N, 16] input) => (float[N, 3] y) {{
    packed = sbn.Pack (input)
    y = {DENSE} (packed, W, scale, bias)
}}"""
# One output for each row.
SUMS = f"""m (float[N, 16] input) => (float[N] y) {{
    axis = Constant <value_ints = [1]> ()
    packed = sbn.Pack (input)
    z = {DENSE} (packed, W, scale, bias)
    y = ReduceSum <keepdims = 0> (z, axis)
}}"""
# A dense layer of each pixel.
PIXELS = f"""m (float[N, 16, 2, 3] input) => (float[N, 3, 2, 3] y) {{
    last = Transpose <perm = [0, 2, 3, 1]> (input)
    flat = Constant <value_ints = [-1, 16]> ()
    image = Constant <value_ints = [-1, 2, 3, 3]> ()
    rows = Reshape (last, flat)
    packed = sbn.Pack (rows)
    z = {DENSE} (packed, W, scale, bias)
    back = Reshape (z, image)
    y = Transpose <perm = [0, 3, 1, 2]> (back)
}}"""
SEVERAL = f"""m (float[N, 16] left, float[N, 16] right) => (float[N, 3] y, float[N, 16] sums) {{
    sums = Add (left, right)
    packed = sbn.Pack (sums)
    y = {DENSE} (packed, W, scale, bias)
}}"""
# Signs of the input with noise around them; `plain` has none.
NOISY = f"""m (float[N, 16] input, int64 seed, int64 first_sample, int64 samples)
    => (float[rows, 3] y, float[rows, 3] doubled, float[N, 16] plain)
{{
    gain = Constant <value = float {{16384.0}}> ()
    plain = Mul (input, gain)
    floor = Round (plain)
    codes = Cast <to = 5> (floor)
    signs = sbn.StochasticSign <layer = 0, fan_out = 1>
        (codes, table, seed, first_sample, samples)
    y = {DENSE} (signs, W, scale, bias)
    doubled = Add (y, y)
}}"""


def layer(seed: int) -> Classifier:
    """The dense layer of member `seed`."""
    return Classifier.random(seed)


def save(
    path: Path,
    text: str,
    task: str,
    *,
    members: int = 1,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Writes the network in `text` with the tail of its task."""
    samples = Samples() if text is NOISY else None
    made = [_member(text, seed, samples) for seed in range(members)]
    names = [f"member{index}" for index in range(members)]
    model = ensemble.with_answers(made, names, samples, task)
    said: dict[str, Any] = {"task": task, "members": members, **(metadata or {})}
    defaults = {}
    if samples is not None:
        said |= {"activations": "stochastic", "samples": SAMPLES, "noise_seed": NOISE_SEED}
        defaults = {"seed": NOISE_SEED, "first_sample": 0, "samples": SAMPLES}
    write.save(write.finish(model, said, defaults), path)
    return path


def _member(text: str, seed: int, samples: Samples | None) -> ir.Model:
    proto = onnx.parser.parse_model(HEADER + text)
    dense = layer(seed)
    values: dict[str, NDArray[Any]] = {
        "W": dense.packed(),
        "scale": layer(0).scale,
        "bias": dense.bias,
    }
    if samples is not None:
        knots = np.arange(65) / 32
        levels = np.rint((0.5 + knots / 2 - knots**2 / 8) * 65536).astype(np.int32)
        values["table"] = np.stack([levels[:-1], np.diff(levels)])
    for name, value in values.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    for index, node in enumerate(proto.graph.node):
        node.name = f"node{index}"
    model = ir.serde.deserialize_model(proto)
    for output in model.graph.outputs:
        output.dtype = ir.DataType.FLOAT
    if samples is not None:
        for shared in reversed(samples.inputs):
            own = model.graph.inputs.pop()
            assert own.name == shared.name
            own.replace_all_uses_with(shared)
    return model


def answers(x: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """What member `seed` answers to rows [N, 16], or to pixels [N, 16, H, W]."""
    dense = layer(seed)
    signs = np.where(x < 0, np.float32(-1), np.float32(1))
    shape = (1, -1, *[1] * (x.ndim - 2))
    products = np.einsum("nc...,kc->nk...", signs, dense.signs)
    found: NDArray[np.float32] = products * layer(0).scale.reshape(shape) + dense.bias.reshape(
        shape
    )
    return found


def rows(count: int = 5, seed: int = 1) -> NDArray[np.float32]:
    """float32 [count, 16]."""
    return np.random.default_rng(seed).standard_normal((count, FEATURES), np.float32)


def pixels(count: int = 5, seed: int = 1) -> NDArray[np.float32]:
    """float32 [count, 16, 2, 3]."""
    return np.random.default_rng(seed).standard_normal((count, FEATURES, 2, 3), np.float32)
