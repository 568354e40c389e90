"""Adding operators to a TFLite model, with the shapes that they give.

All images are [1, H, W, C], packed ones int32 [1, H, W, ceil(C/32)].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..model import ABSENT, Model, Operator, Option, Tensor
from ..schema import TENSOR_TYPES, Activation, Padding
from ..words32 import pack_bits32, words32
from .window import Window

FLOAT = np.dtype(np.float32)
WORDS = np.dtype(np.int32)
SAME, VALID = int(Padding.SAME), int(Padding.VALID)
# Fused activations by the interval that they clamp to.
_ACTIVATIONS = {
    (-np.inf, np.inf): Activation.NONE,
    (0.0, np.inf): Activation.RELU,
    (-1.0, 1.0): Activation.RELU_N1_TO_1,
    (0.0, 6.0): Activation.RELU6,
}


class Builder:
    """Writes one model."""

    def __init__(self) -> None:
        self.model = Model()
        self._names: dict[str, int] = {}
        # What was written already, so that nothing is computed or stored twice.
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._results: dict[object, int] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: np.dtype[np.generic] = FLOAT,
        data: NDArray[np.generic] | None = None,
    ) -> int:
        """A new tensor under that name, or with a number behind it if it is taken."""
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        unique = f"{name}.{count + 1}" if count else name
        self.model.tensors.append(Tensor(unique, tuple(int(n) for n in shape), dtype, data))
        return len(self.model.tensors) - 1

    def constant(self, array: NDArray[np.generic], name: str) -> int:
        """A constant tensor."""
        array = np.require(array, requirements="C")
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self.tensor(name, array.shape, array.dtype, array)
        return self._constants[key]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The tensor's sizes."""
        return self.model.tensors[tensor].shape

    def dtype(self, tensor: int) -> np.dtype[np.generic]:
        """The tensor's type."""
        return self.model.tensors[tensor].dtype

    def add(
        self,
        op: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        name: str,
        dtype: np.dtype[np.generic] = FLOAT,
        options: Mapping[str, Option] = MappingProxyType({}),
    ) -> int:
        """An operator with one output."""
        key = op, tuple(inputs), tuple(shape), tuple(sorted(options.items()))
        if key not in self._results:
            result = self._results[key] = self.tensor(name, shape, dtype)
            self.model.operators.append(Operator(op, list(inputs), [result], dict(options)))
        return self._results[key]

    # Packed images

    def quantize(self, x: int, name: str) -> int:
        """The packed signs of floats [..., C]."""
        shape = self.shape(x)
        return self.add("LceQuantize", [x], [*shape[:-1], words32(shape[-1])], name, WORDS)

    def dequantize(self, x: int, channels: int, name: str) -> int:
        """Packed signs as floats of +1 and -1."""
        return self.add("LceDequantize", [x], [*self.shape(x)[:-1], channels], name)

    def turn(self, x: int, mask: NDArray[np.bool_], name: str) -> int:
        """Packed signs, with those of the channels in `mask` turned; itself if there are none."""
        if not mask.any():
            return x
        turned = self.constant(pack_bits32(mask), f"{name}.turned")
        return self.add("BITWISE_XOR", [x, turned], self.shape(x), f"{name}.turn", WORDS)

    def binary_convolution(
        self,
        x: int,
        weights: NDArray[np.int32],
        channels: int,
        window: Window,
        name: str,
        *,
        threshold: NDArray[np.int64] | None = None,
        scale: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
        activation: Activation = Activation.NONE,
        pad_value: int = 1,
    ) -> int:
        """LceBconv2d: to packed signs where a threshold is given, else to floats.

        weights: int32 [O, kh, kw, ceil(C/32)]. threshold: int64 [O], the smallest dot product
        whose sign is +1. scale, bias: float32 [O], for the dot product after `activation`.
        The border is `pad_value`, 1, or 0 where TFLite's SAME gives it.
        """
        outputs = len(weights)
        _, height, width, _ = self.shape(x)
        size = window.result(height, width)
        padding = VALID
        if window.is_padded:
            if window.is_same(height, width):
                padding = SAME
            else:
                assert pad_value == 1
                # A clear bit is +1.
                x = self.pad(x, window.pads, None, name)
        inputs = [x, self.constant(weights, f"{name}.weight")]
        if threshold is not None:
            products = window.kernel[0] * window.kernel[1] * channels
            # LCE sets a bit where it counts more than this many differing bits.
            most = np.clip((products - threshold) // 2, -1, products).astype(np.int32)
            inputs += [ABSENT, ABSENT, self.constant(most, f"{name}.threshold")]
        else:
            assert scale is not None
            assert bias is not None
            inputs += [self.constant(scale, f"{name}.scale"), self.constant(bias, f"{name}.bias")]
            inputs += [ABSENT]
        packed = threshold is not None
        return self.add(
            "LceBconv2d",
            inputs,
            [1, *size, words32(outputs) if packed else outputs],
            name,
            WORDS if packed else FLOAT,
            {
                "channels_in": channels,
                "dilation_height_factor": window.dilations[0],
                "dilation_width_factor": window.dilations[1],
                "fused_activation_function": int(activation),
                "pad_values": pad_value if padding == SAME else 0,
                "padding": padding,
                "stride_height": window.strides[0],
                "stride_width": window.strides[1],
            },
        )

    def binary_max_pool(self, x: int, window: Window, name: str) -> int:
        """LceBMaxPool2d of packed signs; elements beyond the border are ignored."""
        _, height, width, words = self.shape(x)
        size = window.result(height, width)
        padding = SAME if window.is_padded and window.is_same(height, width) else VALID
        if window.is_padded and padding == VALID:
            # -1 never is the largest.
            x = self.pad(x, window.pads, -1, name)
        options: dict[str, Option] = {
            "filter_height": window.kernel[0],
            "filter_width": window.kernel[1],
            "padding": padding,
            "stride_height": window.strides[0],
            "stride_width": window.strides[1],
        }
        return self.add("LceBMaxPool2d", [x], [1, *size, words], name, WORDS, options)

    # Floats

    def pad(self, x: int, pads: Sequence[int], value: float | None, name: str) -> int:
        """An image with a border; of zeros where `value` is None."""
        n, height, width, channels = self.shape(x)
        top, left, bottom, right = pads
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        inputs = [x, self.constant(amounts, f"{name}.pads")]
        dtype = self.dtype(x)
        if value is not None:
            inputs.append(self.constant(np.array([value], dtype), f"{name}.border"))
        shape = [n, height + top + bottom, width + left + right, channels]
        return self.add("PAD" if value is None else "PADV2", inputs, shape, f"{name}.padded", dtype)

    def convolution(
        self,
        x: int,
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        window: Window,
        name: str,
        activation: Activation = Activation.NONE,
    ) -> int:
        """CONV_2D with weights [O, kh, kw, C] and a border of zeros."""
        x, padding, size = self._bordered(x, window, name)
        inputs = [x, self.constant(weights, f"{name}.weight"), self.constant(bias, f"{name}.bias")]
        options = self._window_options(window, padding, activation)
        return self.add("CONV_2D", inputs, [1, *size, len(weights)], name, options=options)

    def depthwise(
        self,
        x: int,
        filters: NDArray[np.float32],
        bias: NDArray[np.float32],
        window: Window,
        name: str,
    ) -> int:
        """DEPTHWISE_CONV_2D with one filter for each channel, [kh, kw, C]."""
        x, padding, size = self._bordered(x, window, name)
        inputs = [
            x,
            self.constant(filters[None], f"{name}.weight"),
            self.constant(bias, f"{name}.bias"),
        ]
        options = self._window_options(window, padding, Activation.NONE) | {"depth_multiplier": 1}
        return self.add("DEPTHWISE_CONV_2D", inputs, [1, *size, len(bias)], name, options=options)

    def max_pool(self, x: int, window: Window, name: str, *, relu: bool = False) -> int:
        """MAX_POOL_2D; elements beyond the border are ignored."""
        _, height, width, channels = self.shape(x)
        size = window.result(height, width)
        padding = SAME if window.is_padded and window.is_same(height, width) else VALID
        if window.is_padded and padding == VALID:
            x = self.pad(x, window.pads, -np.inf, name)
        options = self._pool_options(window, padding, Activation.RELU if relu else Activation.NONE)
        return self.add("MAX_POOL_2D", [x], [1, *size, channels], name, options=options)

    def average_pool(self, x: int, window: Window, name: str) -> int:
        """AVERAGE_POOL_2D without a border."""
        _, height, width, channels = self.shape(x)
        size = window.result(height, width)
        options = self._pool_options(window, VALID, Activation.NONE)
        return self.add("AVERAGE_POOL_2D", [x], [1, *size, channels], name, options=options)

    def binary(
        self, op: str, x: int, y: int, name: str, activation: Activation = Activation.NONE
    ) -> int:
        """ADD, SUB, MUL, DIV, MAXIMUM or MINIMUM of two tensors, with broadcasting."""
        shape = np.broadcast_shapes(self.shape(x), self.shape(y))
        fused = op not in ("MAXIMUM", "MINIMUM")
        options: dict[str, Option] = {"fused_activation_function": int(activation)} if fused else {}
        return self.add(op, [x, y], shape, name, options=options)

    def clamp(self, x: int, low: NDArray[np.float32], high: NDArray[np.float32], name: str) -> int:
        """min(max(x, low), high), each float32 [C] or []."""
        activation = activation_of(low, high)
        if activation is not None:
            return self.add(activation.name, [x], self.shape(x), name) if activation else x
        if (low != -np.inf).any():
            x = self.binary("MAXIMUM", x, self.constant(low, f"{name}.low"), name)
        if (high != np.inf).any():
            x = self.binary("MINIMUM", x, self.constant(high, f"{name}.high"), name)
        return x

    def affine(
        self,
        x: int,
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
        name: str,
        activation: Activation = Activation.NONE,
    ) -> int:
        """x * scale + bias, each float32 [C]; the product is rounded before the sum."""
        if (scale != 1).any():
            x = self.binary("MUL", x, self.constant(scale, f"{name}.scale"), f"{name}.scaled")
        if bias.any() or activation:
            x = self.binary("ADD", x, self.constant(bias, f"{name}.bias"), name, activation)
        return x

    def cast(self, x: int, dtype: np.dtype[np.generic], name: str) -> int:
        """The same numbers in another type."""
        options: dict[str, Option] = {
            "in_data_type": int(TENSOR_TYPES[self.dtype(x)]),
            "out_data_type": int(TENSOR_TYPES[dtype]),
        }
        return self.add("CAST", [x], self.shape(x), name, dtype, options)

    def reshape(self, x: int, shape: Sequence[int], name: str) -> int:
        """The same elements in the same order."""
        if self.shape(x) == tuple(shape):
            return x
        target = self.constant(np.array(shape, np.int32), f"{name}.shape")
        options: dict[str, Option] = {"new_shape": tuple(int(n) for n in shape)}
        return self.add("RESHAPE", [x, target], shape, f"{name}.reshaped", self.dtype(x), options)

    def transpose(self, x: int, order: Sequence[int], name: str) -> int:
        """The axes in another order."""
        shape = [self.shape(x)[i] for i in order]
        permutation = self.constant(np.array(order, np.int32), f"{name}.order")
        return self.add("TRANSPOSE", [x, permutation], shape, f"{name}.turned", self.dtype(x))

    def concatenate(self, parts: Sequence[int], axis: int, name: str) -> int:
        """Tensors of one type, one after the other along an axis."""
        shape = list(self.shape(parts[0]))
        axis %= len(shape)
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        options: dict[str, Option] = {"axis": axis, "fused_activation_function": 0}
        return self.add("CONCATENATION", parts, shape, name, self.dtype(parts[0]), options)

    def split(self, x: int, count: int, axis: int, name: str) -> list[int]:
        """Equal parts along an axis."""
        shape = list(self.shape(x))
        shape[axis] //= count
        where = self.constant(np.array(axis, np.int32), f"{name}.axis")
        parts = [self.tensor(f"{name}.part", shape, self.dtype(x)) for _ in range(count)]
        operator = Operator("SPLIT", [where, x], parts, {"num_splits": count})
        self.model.operators.append(operator)
        return parts

    def _bordered(self, x: int, window: Window, name: str) -> tuple[int, int, tuple[int, int]]:
        """The input of a window with a border of zeros, TFLite's padding, and the result's size."""
        _, height, width, _ = self.shape(x)
        size = window.result(height, width)
        if not window.is_padded:
            return x, VALID, size
        if window.is_same(height, width):
            return x, SAME, size
        return self.pad(x, window.pads, None, name), VALID, size

    @staticmethod
    def _slide(window: Window, padding: int, activation: Activation) -> dict[str, Option]:
        """The options that convolutions and pools have in common."""
        return {
            "padding": padding,
            "stride_h": window.strides[0],
            "stride_w": window.strides[1],
            "fused_activation_function": int(activation),
        }

    def _window_options(
        self, window: Window, padding: int, activation: Activation
    ) -> dict[str, Option]:
        height, width = window.dilations
        slide = self._slide(window, padding, activation)
        return {**slide, "dilation_h_factor": height, "dilation_w_factor": width}

    def _pool_options(
        self, window: Window, padding: int, activation: Activation
    ) -> dict[str, Option]:
        height, width = window.kernel
        slide = self._slide(window, padding, activation)
        return {**slide, "filter_height": height, "filter_width": width}


def activation_of(low: NDArray[np.float32], high: NDArray[np.float32]) -> Activation | None:
    """The fused activation that clamps to [low, high] in every channel, or None."""
    if (low != low.flat[0]).any() or (high != high.flat[0]).any():
        return None
    return _ACTIVATIONS.get((float(low.flat[0]), float(high.flat[0])))
