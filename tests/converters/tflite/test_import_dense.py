"""Dense layers of signs, which TFLite files have as floats: packed wherever the signs come from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_converters.tflite.model import Model, Option
from sbn_converters.tflite.schema import Activation
from sbn_converters.tflite.to_onnx import to_onnx

from .binary_parts import convolution, images, quantized, unpacked
from .imported import check
from .tflite_models import Builder

RANDOM = np.random.default_rng(3)
OUTPUTS = 7
# Height, width and channels: words of 64, of 32, and with gaps.
IMAGES = [(3, 3, 40), (2, 3, 64), (4, 4, 32), (1, 1, 48), (3, 2, 5), (2, 2, 130)]


def reshaped(b: Builder, x: int, *shape: int) -> int:
    """The same elements in another shape."""
    return b.operator("RESHAPE", [x, b.integers(*shape)], shape)


def flat(b: Builder, x: int) -> int:
    """An image as one row."""
    return reshaped(b, x, 1, int(np.prod(b.model.tensors[x].shape[1:])))


def signs(b: Builder, x: int) -> int:
    """+1 and -1, packed and unpacked as in files of LCE's converter."""
    return unpacked(b, quantized(b, x), b.model.tensors[x].shape[-1])


def convolved(b: Builder, x: int) -> int:
    """A binary convolution to floats, with as many channels."""
    channels = b.model.tensors[x].shape[-1]
    return convolution(b, quantized(b, x), channels, channels, packed=False)


def normed(b: Builder, x: int) -> int:
    """A batch-norm as TFLite has it, all of whose numbers are exact."""
    shape = b.model.tensors[x].shape
    scale = 2.0 ** RANDOM.integers(-3, 3, shape[-1]) * RANDOM.choice([-1, 1], shape[-1])
    shift = RANDOM.integers(-9, 9, shape[-1]) / 8
    y = b.operator("MUL", [x, b.constant(scale.astype(np.float32))], shape)
    return b.operator("ADD", [y, b.constant(shift.astype(np.float32))], shape)


def channels_first(b: Builder, x: int) -> int:
    """[N, H, W, C] as [N, C, H, W]."""
    n, h, w, c = b.model.tensors[x].shape
    return b.operator("TRANSPOSE", [x, b.integers(0, 3, 1, 2)], (n, c, h, w))


def sloped(b: Builder, x: int) -> int:
    """A PReLU of rows."""
    shape = b.model.tensors[x].shape
    slopes = b.constant(RANDOM.integers(0, 9, shape[-1]).astype(np.float32) / 8)
    return b.operator("PRELU", [x, slopes], shape)


def dense(b: Builder, x: int, **options: Option) -> int:
    """A dense layer of signs: options `scaled` for weights of other sizes, `bias` for a bias."""
    inputs = int(np.prod(b.model.tensors[x].shape[1:]))
    weights = RANDOM.choice([-1.0, 1.0], (OUTPUTS, inputs))
    if options.pop("scaled", False):
        weights *= 2.0 ** RANDOM.integers(-3, 3, (OUTPUTS, 1)) * RANDOM.choice(
            [-1, 1], (OUTPUTS, 1)
        )
    operands = [x, b.constant(weights.astype(np.float32))]
    if options.pop("bias", False):
        operands.append(b.constant(RANDOM.integers(-5, 5, OUTPUTS).astype(np.float32)))
    return b.operator("FULLY_CONNECTED", operands, (1, OUTPUTS), **options)


SIGNS: dict[str, Callable[[Builder, int], int]] = {
    "signs, flattened": lambda b, x: flat(b, signs(b, x)),
    "flattened, signs": lambda b, x: signs(b, flat(b, x)),
    "an image of signs": signs,
    "convolution, batch-norm, flattened, signs": lambda b, x: signs(
        b, flat(b, normed(b, convolved(b, x)))
    ),
    "convolution to signs, flattened": lambda b, x: flat(b, signs(b, convolved(b, x))),
    "convolution, flattened, batch-norm, signs": lambda b, x: signs(
        b, normed(b, flat(b, convolved(b, x)))
    ),
    "channels first, flattened, signs": lambda b, x: signs(b, flat(b, channels_first(b, x))),
    "signs, channels first, flattened": lambda b, x: flat(b, channels_first(b, signs(b, x))),
    "signs in steps to a row": lambda b, x: flat(
        b, reshaped(b, signs(b, x), 1, 1, int(np.prod(b.model.tensors[x].shape[1:])))
    ),
    "PReLU of rows": lambda b, x: signs(b, sloped(b, flat(b, x))),
    "two dense layers": lambda b, x: signs(b, normed(b, dense(b, signs(b, flat(b, x))))),
}
OPTIONS: dict[str, dict[str, Option]] = {
    "plain": {},
    "scale and bias": {"scaled": True, "bias": True},
    "bias and ReLU": {"bias": True, "fused_activation_function": Activation.RELU},
    "scale and ReLU6": {"scaled": True, "fused_activation_function": Activation.RELU6},
}


@pytest.mark.parametrize(("image", "options"), list(zip(IMAGES, cycle(OPTIONS), strict=False)))
@pytest.mark.parametrize("name", SIGNS)
def test_dense_layers_of_signs_are_packed(
    name: str, image: tuple[int, int, int], options: str
) -> None:
    b = Builder()
    y = dense(b, SIGNS[name](b, b.input((1, *image))), **OPTIONS[options])
    layers = check(b.finish(y), *images(1, *image), exact=True)
    assert [layer.why for layer in layers if layer.kind == "float"] == []
    assert {layer.kind for layer in layers} == {"pack", "binary"}
    # Nothing is unpacked on the way.
    assert sum(layer.kind == "pack" for layer in layers) == 1 + ("flattened, batch" in name)


@pytest.mark.parametrize("channels", [5, 40, 64])
def test_flattened_signs_are_read_as_floats_too(channels: int) -> None:
    b = Builder()
    row = signs(b, flat(b, b.input((1, 3, 2, channels))))
    model = b.finish(dense(b, row), row, signs(b, row))
    layers = check(model, *images(1, 3, 2, channels), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == 1


def weights_of(model: Model) -> NDArray[np.generic]:
    """The weights of the last layer in standard ONNX."""
    gemm = [node for node in to_onnx(model).graph if node.op_type == "Gemm"][-1]
    assert gemm.inputs[1] is not None
    assert gemm.inputs[1].const_value is not None
    return gemm.inputs[1].const_value.numpy()


def test_a_layer_of_floats_keeps_its_weights() -> None:
    """Only of signs are sums exact whichever way a scale goes."""
    b = Builder()
    assert set(
        np.abs(weights_of(b.finish(dense(b, flat(b, b.input((1, 2, 2, 8))), scaled=True)))).ravel()
    ) != {1.0}
    b = Builder()
    model = b.finish(dense(b, signs(b, flat(b, b.input((1, 2, 2, 8)))), scaled=True))
    assert set(weights_of(model).ravel()) == {-1.0, 1.0}
