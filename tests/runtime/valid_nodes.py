"""Nodes drawn from all that the operators' specification allows, its ends among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters import ops

from .one_node import SEEDS, Array, Attributes, packed, parameter_shape, words

INT32 = np.iinfo(np.int32)
FLOAT32 = np.finfo(np.float32)
MOST = ops.MAX_PRODUCTS
LONGEST = 1 << 15
_LIMITS = [FLOAT32.tiny, FLOAT32.max, FLOAT32.min, np.inf, -np.inf, np.nan]
_ENDS = np.array([0.0, -0.0, 1.0, -1.5, 1e-45, -1e-45, *_LIMITS], np.float32)


@dataclass(frozen=True)
class Node:
    """A node: its operator, all of its inputs, and its attributes."""

    name: str
    inputs: dict[str, Array]
    attributes: Attributes

    def changed(self, **attributes: Any) -> Node:
        """The same node with other attributes."""
        return replace(self, attributes=self.attributes | attributes)


def any_floats(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Floats of all sizes, with many zeros, infinities, NaN and ends of the range."""
    bits = rng.integers(0, 1 << 32, shape, dtype=np.uint32).view(np.float32)
    common = rng.normal(scale=30, size=shape).astype(np.float32)
    kind = rng.integers(0, 4, shape)
    return np.where(kind == 0, rng.choice(_ENDS, shape), np.where(kind == 1, bits, common))


@st.composite
def nodes(draw: st.DrawFn, names: list[str]) -> Node:
    """A valid node of one of the operators."""
    name = draw(st.sampled_from(names))
    rng = np.random.default_rng(draw(SEEDS))
    if name in ("Pack", "PackThreshold", "Unpack", "Quantize"):
        return _elementwise(draw, name, rng)
    if name == "StochasticSign":
        return _noise(draw, rng)
    if name.startswith("Dense"):
        return _dense(draw, name, rng)
    return _window(draw, name, rng)


def _elementwise(draw: st.DrawFn, name: str, rng: np.random.Generator) -> Node:
    lead = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    channels = draw(st.sampled_from([1, 63, 64, 65, 200]))
    if name == "Unpack":  # unused bits may be set, and are ignored
        bits = rng.integers(0, 1 << 64, (*lead, words(channels)), dtype=np.uint64)
        return Node(name, {"X": bits}, {"channels": channels})
    inputs = {tensor.name: any_floats(rng, (channels,)) for tensor in ops.BY_NAME[name].inputs}
    return Node(name, inputs | {"X": any_floats(rng, (*lead, channels))}, {})


def _noise(draw: st.DrawFn, rng: np.random.Generator) -> Node:
    samples, fan_out = draw(st.integers(1, 3)), draw(st.integers(0, 1))
    shape = (2 if fan_out else 2 * samples, *draw(st.lists(st.integers(1, 3), max_size=2)), 70)
    starts = np.sort(rng.integers(32768, 65536, 65))
    inputs: dict[str, Array] = {
        "X": rng.integers(-(2**15), 2**15, shape).astype(np.int16),
        "table": np.stack([starts[:-1], np.diff(starts)]).astype(np.int32),
        "seed": np.array(draw(st.sampled_from([0, 1, 2**32, 2**63 - 1])), np.int64),
        "first_sample": np.array(draw(st.sampled_from([0, 7, 2**31 - samples])), np.int64),
        "samples": np.array(samples, np.int64),
    }
    layer = draw(st.sampled_from([0, 3, 2**31 - 1]))
    return Node("StochasticSign", inputs, {"layer": layer, "fan_out": fan_out})


def _dense(draw: st.DrawFn, name: str, rng: np.random.Generator) -> Node:
    rows, outputs = draw(st.integers(1, 4)), draw(st.sampled_from([1, 5, 64, 130]))
    count = draw(st.sampled_from([1, 2, 3, 40]))
    channels = draw(st.sampled_from([1, 64 * count - 1, 64 * count]))
    # All bits count, those beyond the channels too, which lie anywhere in a row.
    inputs: dict[str, Array] = {
        "X": rng.integers(0, 1 << 64, (rows, count), dtype=np.uint64),
        "W": rng.integers(0, 1 << 64, (outputs, count), dtype=np.uint64),
        **_parameters(rng, name, (rows, outputs)),
    }
    return Node(name, inputs, {"channels": channels, **_dot_attributes(draw, name)})


def _window(draw: st.DrawFn, name: str, rng: np.random.Generator) -> Node:
    group = draw(st.sampled_from([1, 1, 2, 5]))
    channels = group * draw(st.sampled_from([1, 13, 14, 64]))
    outputs = group * draw(st.integers(1, 40))
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    pooling = name.endswith("MaxPool")
    dilations = [draw(st.sampled_from([1, 1, 2, 50 if k > 1 else LONGEST])) for k in kernel]
    if pooling:
        dilations = [1, 1]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if pooling:
        pads = [draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    else:
        pads = draw(st.sampled_from([[0] * 4, [0] * 4, [1, 2, 0, 3], [r - 1 for r in reach * 2]]))
    least = [max(1, reach[i] - pads[i] - pads[i + 2]) for i in range(2)]
    if not ops.padding_fits((least[0] + 5, least[1] + 5), pads):
        pads, least = [0] * 4, reach
    size = [least[0] + draw(st.integers(0, 5)), least[1] + draw(st.integers(0, 5))]
    if not pooling and size[0] <= 8 and draw(st.integers(0, 9)) == 0:
        # As many pixels as there may be: 8 rows of 2,048.
        across = ops.MAX_PADDED_PIXELS // 8 - size[1]
        pads = [0, across // 2, 8 - size[0], across - across // 2]
        kernel, dilations = [min(kernel[0], 2), kernel[1]], [1, dilations[1]]
    attributes: Attributes = {
        "channels": channels,
        "kernel_shape": kernel,
        "strides": [draw(st.sampled_from([1, 1, 2, 3, LONGEST])) for _ in range(2)],
        "dilations": dilations,
        "pads": pads,
        "group": group,
        "pad_value": draw(st.integers(-1, 1)),
        "relu": draw(st.integers(0, 1)),
    }
    images = (2, *size)
    inputs: dict[str, Array]
    if name.startswith("PixelConv"):
        attributes["pad_value"] = draw(st.sampled_from([0, 7, 255]))
        few = draw(st.sampled_from([1, 3, ops.MAX_PIXEL_PRODUCTS // (kernel[0] * kernel[1])]))
        inputs = {
            "X": rng.choice(np.array([0, 1, 254, 255], np.uint8), (*images, few)),
            "W": rng.choice(np.array([-128, -127, 0, 1, 127], np.int8), (outputs, *kernel, few)),
        }
    elif name == "FloatDepthwiseConv":
        shapes = {"X": (*images, channels), "W": (*kernel, channels), "B": (channels,)}
        if draw(st.booleans()):  # sums may overflow, and the body adds in order
            inputs = {key: any_floats(rng, shape) for key, shape in shapes.items()}
            inputs["X"].flat[0] = inputs["W"].flat[0] = FLOAT32.max
        else:  # whole numbers, the sums of which are exact in every order
            inputs = {k: rng.integers(-99, 99, s).astype(np.float32) for k, s in shapes.items()}
    elif pooling:
        inputs = _pooled(rng, name, (*images, channels))
    else:
        inputs = {
            "X": packed(rng, *images, channels),
            "W": packed(rng, outputs, *kernel, channels // group),
        }
    space = [size[i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1 for i in range(2)]
    lead = (2, *(space[i] // attributes["strides"][i] + 1 for i in range(2)))
    if name.startswith(("Conv", "PixelConv")):
        inputs |= _parameters(rng, name, (*lead, outputs))
        attributes |= _dot_attributes(draw, name)
    known = {attribute.name for attribute in ops.BY_NAME[name].attributes}
    return Node(name, inputs, {key: value for key, value in attributes.items() if key in known})


def _pooled(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> dict[str, Array]:
    channels = shape[-1]
    minimum = rng.integers(0, 1 << 64, words(channels), dtype=np.uint64)
    if name == "MaxPool":
        bits = rng.integers(0, 1 << 64, (*shape[:-1], words(channels)), dtype=np.uint64)
        return {"X": bits, "minimum": minimum}
    if name == "QuantizedMaxPool":
        return {"X": rng.integers(-(2**15), 2**15, shape).astype(np.int16), "minimum": minimum}
    floats = any_floats(rng, shape)
    return {"X": np.where(np.isfinite(floats), floats, np.float32(0))}


def _parameters(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> dict[str, Array]:
    """The inputs after X and W of a product whose Y, in channels, has the shape."""
    if name.endswith("Threshold"):
        some = np.concatenate([rng.integers(-99, 99, 8), [INT32.min, INT32.max, 0, 1, -1]])
        return {"T": rng.choice(some, shape[-1]).astype(np.int32)}
    tensors = ops.BY_NAME[name].inputs[2:]
    return {t.name: any_floats(rng, parameter_shape(t, shape)) for t in tensors}


def _dot_attributes(draw: st.DrawFn, name: str) -> Attributes:
    if name.endswith("Threshold") or name.startswith("PixelConv"):
        return {}
    return {
        "dot_range": [
            draw(st.sampled_from([-(1 << 31), -(1 << 31), -MOST, -7, 0, MOST])),
            draw(st.sampled_from([(1 << 31) - 1, (1 << 31) - 1, MOST, 5, 0, -MOST])),
        ],
        "dot_offset": draw(st.sampled_from([0, 0, 1, -5000, 1 << 25, -(1 << 25)])),
    }
