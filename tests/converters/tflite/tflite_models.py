"""Small TFLite models: one for each operator, and one of a chain of LCE's operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sbn_converters.tflite.model import ABSENT, Model, Operator, Option, Tensor
from sbn_converters.tflite.schema import Activation, Padding, TensorType

WINDOW: dict[str, Option] = {"padding": Padding.VALID, "stride_w": 1, "stride_h": 1}
POOL: dict[str, Option] = {**WINDOW, "filter_width": 2, "filter_height": 2}
BCONV: dict[str, Option] = {
    "channels_in": 64,
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": Activation.NONE,
    "pad_values": 1,
    "padding": Padding.SAME,
    "stride_height": 1,
    "stride_width": 1,
}
BPOOL: dict[str, Option] = {
    "filter_height": 2,
    "filter_width": 2,
    "padding": Padding.VALID,
    "stride_height": 2,
    "stride_width": 2,
}


class Builder:
    """Appends tensors and operators to a model."""

    def __init__(self) -> None:
        self.model = Model(description="small")

    def value(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> int:
        """A tensor without data; its index."""
        index = len(self.model.tensors)
        self.model.tensors.append(Tensor(f"value {index}", tuple(shape), np.dtype(dtype)))
        return index

    def input(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> int:
        """An input of the model; its index."""
        self.model.inputs.append(self.value(shape, dtype))
        return self.model.inputs[-1]

    def constant(self, data: NDArray[np.generic]) -> int:
        """A constant; its index."""
        index = self.value(data.shape, data.dtype)
        self.model.tensors[index].data = data
        return index

    def integers(self, *values: int) -> int:
        """A constant of int32; its index."""
        return self.constant(np.array(values, np.int32))

    def operator(
        self,
        name: str,
        inputs: list[int],
        shape: Sequence[int],
        dtype: DTypeLike = np.float32,
        **options: Option,
    ) -> int:
        """An operator with one output; its output's index."""
        output = self.value(shape, dtype)
        self.model.operators.append(Operator(name, inputs, [output], options))
        return output

    def finish(self, *outputs: int) -> Model:
        """The model with these outputs."""
        self.model.outputs.extend(outputs)
        return self.model


def one_operator(name: str) -> Model:
    """A model of one operator, which LCE's interpreter runs."""
    b = Builder()
    image = (1, 4, 6, 8)
    random = np.random.default_rng(0)

    def floats(*shape: int) -> int:
        return b.constant(random.normal(size=shape).astype(np.float32))

    def unary(shape: Sequence[int] = image, **options: Option) -> Model:
        return b.finish(b.operator(name, [b.input(image)], shape, **options))

    match name:
        case "CONV_2D":
            x = b.input(image)
            options: dict[str, Option] = {**WINDOW, "padding": Padding.SAME}
            return b.finish(
                b.operator(name, [x, floats(5, 3, 3, 8), floats(5)], (1, 4, 6, 5), **options)
            )
        case "DEPTHWISE_CONV_2D":
            x = b.input(image)
            options = {**WINDOW, "depth_multiplier": 1, "dilation_w_factor": 2}
            return b.finish(
                b.operator(name, [x, floats(1, 3, 3, 8), floats(8)], (1, 2, 2, 8), **options)
            )
        case "TRANSPOSE_CONV":
            x, shape = b.input(image), b.integers(1, 7, 11, 5)
            options = {"padding": Padding.SAME, "stride_w": 2, "stride_h": 2}
            parts = [shape, floats(5, 3, 3, 8), x, floats(5)]
            return b.finish(b.operator(name, parts, (1, 7, 11, 5), **options))
        case "FULLY_CONNECTED":
            x = b.input(image)
            y = b.operator(name, [x, floats(3, 8)], (1, 4, 6, 3), keep_num_dims=True)
            return b.finish(y)
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            return unary((1, 3, 5, 8), **POOL)
        case "ADD" | "SUB" | "MUL" | "DIV":
            x, y = b.input(image), b.input((8,))
            return b.finish(
                b.operator(name, [x, y], image, fused_activation_function=Activation.RELU)
            )
        case "MAXIMUM" | "MINIMUM":
            return b.finish(b.operator(name, [b.input(image), b.input(image)], image))
        case "PRELU":
            return b.finish(b.operator(name, [b.input(image), floats(1, 1, 8)], image))
        case "LEAKY_RELU":
            return unary(alpha=0.25)
        case "SOFTMAX":
            return unary(beta=1.0)
        case "CONCATENATION":
            x = b.input(image)
            return b.finish(b.operator(name, [x, x], (1, 4, 6, 16), axis=-1))
        case "SPLIT":
            axis, x = b.constant(np.int32(3).reshape(())), b.input(image)
            outputs = [b.value((1, 4, 6, 4)) for _ in range(2)]
            b.model.operators.append(Operator(name, [axis, x], outputs, {"num_splits": 2}))
            return b.finish(*outputs)
        case "PACK":
            x = b.input((4, 6))
            return b.finish(b.operator(name, [x, x], (4, 2, 6), values_count=2, axis=1))
        case "PAD" | "PADV2":
            x = b.input(image)
            pads = b.constant(np.array([[0, 0], [1, 1], [1, 0], [0, 0]], np.int32))
            value = [b.constant(np.array([-1.0], np.float32))] if name == "PADV2" else []
            return b.finish(b.operator(name, [x, pads, *value], (1, 6, 7, 8)))
        case "RESHAPE":
            x = b.input(image)
            return b.finish(b.operator(name, [x, b.integers(1, -1)], (1, 192), new_shape=(1, -1)))
        case "SQUEEZE":
            return unary(image[1:], squeeze_dims=(0,))
        case "EXPAND_DIMS":
            return b.finish(b.operator(name, [b.input(image), b.integers(1)], (1, 1, *image[1:])))
        case "MEAN" | "SUM":
            axes = b.integers(1, 2)
            return b.finish(b.operator(name, [b.input(image), axes], (1, 1, 1, 8), keep_dims=True))
        case "TRANSPOSE":
            order = b.integers(0, 3, 1, 2)
            return b.finish(b.operator(name, [b.input(image), order], (1, 8, 4, 6)))
        case "STRIDED_SLICE":
            ends = [b.integers(0, 1, 0, 0), b.integers(1, 4, 6, 8), b.integers(1, 2, 1, 1)]
            return b.finish(b.operator(name, [b.input(image), *ends], (1, 2, 6, 8), begin_mask=1))
        case "SLICE":
            ends = [b.integers(0, 1, 0, 0), b.integers(1, 2, 6, 8)]
            return b.finish(b.operator(name, [b.input(image), *ends], (1, 2, 6, 8)))
        case "CAST":
            x = b.input(image)
            options = {"in_data_type": TensorType.FLOAT32, "out_data_type": TensorType.INT32}
            return b.finish(b.operator(name, [x], image, np.int32, **options))
        case "DEQUANTIZE":
            half = b.constant(random.normal(size=image).astype(np.float16))
            y = b.operator(name, [half], image)
            return b.finish(b.operator("ADD", [b.input(image), y], image))
        case "BITWISE_XOR":
            x, y = b.input(image, np.int32), b.input(image, np.int32)
            return b.finish(b.operator(name, [x, y], image, np.int32))
        case "BATCH_MATMUL":
            x, y = b.input((2, 3, 4)), b.input((2, 5, 4))
            return b.finish(b.operator(name, [x, y], (2, 3, 5), adj_y=True))
        case "LceQuantize":
            return b.finish(b.operator(name, [b.input((1, 4, 6, 40))], (1, 4, 6, 2), np.int32))
        case "LceDequantize":
            return b.finish(b.operator(name, [b.input((1, 4, 6, 2), np.int32)], (1, 4, 6, 40)))
        case "LceBMaxPool2d":
            x = b.input((1, 4, 6, 2), np.int32)
            return b.finish(b.operator(name, [x], (1, 2, 3, 2), np.int32, **BPOOL))
        case "LceBconv2d":
            x = b.input((1, 4, 6, 2), np.int32)
            kernel = b.constant(words(random, 5, 3, 3, 2))
            threshold = b.constant(random.integers(200, 380, 5).astype(np.int32))
            inputs = [x, kernel, ABSENT, ABSENT, threshold]
            return b.finish(b.operator(name, inputs, (1, 4, 6, 1), np.int32, **BCONV))
        case _:
            return unary()


def binary_network() -> Model:
    """All of LCE's operators, with each kind of output, and a float end."""
    b = Builder()
    random = np.random.default_rng(1)
    x = b.input((1, 8, 8, 3))
    kernel = b.constant(random.normal(size=(40, 3, 3, 3)).astype(np.float32))
    bias = b.constant(random.normal(size=40).astype(np.float32))
    y = b.operator("CONV_2D", [x, kernel, bias], (1, 6, 6, 40), **WINDOW)
    y = b.operator("LceQuantize", [y], (1, 6, 6, 2), np.int32)
    kernel = words(random, 64, 3, 3, 2)
    kernel[..., 1] &= 0xFF
    threshold = b.constant(random.integers(150, 210, 64).astype(np.int32))
    y = b.operator(
        "LceBconv2d",
        [y, b.constant(kernel), ABSENT, ABSENT, threshold],
        (1, 6, 6, 2),
        np.int32,
        **{**BCONV, "channels_in": 40},
    )
    y = b.operator("LceBMaxPool2d", [y], (1, 3, 3, 2), np.int32, **BPOOL)
    bits = y
    scale = [b.constant(random.normal(size=10).astype(np.float32)) for _ in range(2)]
    y = b.operator(
        "LceBconv2d",
        [y, b.constant(words(random, 10, 3, 3, 2)), *scale, ABSENT],
        (1, 1, 1, 10),
        **{**BCONV, "padding": Padding.VALID, "pad_values": 0},
    )
    y = b.operator("RESHAPE", [y, b.integers(1, 10)], (1, 10), new_shape=(1, 10))
    y = b.operator("SOFTMAX", [y], (1, 10), beta=1.0)
    b.model.metadata["notes"] = b"\x01\x02"
    return b.finish(y, b.operator("LceDequantize", [bits], (1, 3, 3, 64)))


def words(random: np.random.Generator, *shape: int) -> NDArray[np.int32]:
    """Random bits, packed."""
    return random.integers(-(2**31), 2**31, shape).astype(np.int32)
