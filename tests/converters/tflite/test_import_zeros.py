"""Untrained networks: batch-norms whose scales are 0, and sums that are exactly 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_converters.tflite.model import Model
from sbn_converters.tflite.schema import Padding
from sbn_converters.tflite.to_onnx.ties import rounded_signs
from sbn_converters.tflite.write import write
from sbn_deploy.importing import import_tflite

from .binary_parts import convolution, images, quantized, unpacked
from .imported import check, fill_in
from .tflite_models import POOL, WINDOW, Builder

RANDOM = np.random.default_rng(7)
IMAGE = (1, 4, 4, 40)
Numbers = NDArray[np.float32]


def some(scales: Numbers) -> None:
    """Zeros of both signs among others, some of which turn signs."""
    scales[::3], scales[1::5] = 0, -0.0


def all_but_one(scales: Numbers) -> None:
    """One that is not 0."""
    scales[1:] = 0


def all_of_them(scales: Numbers) -> None:
    """Zeros."""
    scales[:] = 0


def all_negative(scales: Numbers) -> None:
    """Zeros with a sign."""
    scales[:] = -0.0


class Network(Builder):
    """Layers with batch-norms of which some scales are 0."""

    def __init__(self, zeros: Callable[[Numbers], None], shift: bool) -> None:
        super().__init__()
        self.zeros, self.shift = zeros, shift

    def scales(self, count: int) -> Numbers:
        """Powers of two, and zeros."""
        found = 2.0 ** RANDOM.integers(-3, 3, count) * RANDOM.choice([-1, 1], count)
        scales = found.astype(np.float32)
        self.zeros(scales)
        return scales

    def shifts(self, count: int) -> Numbers:
        """Exact numbers, or none."""
        return (self.shift * RANDOM.integers(-9, 9, count) / 8).astype(np.float32)

    def norm(self, x: int) -> int:
        """A batch-norm on floats."""
        shape = self.model.tensors[x].shape
        y = self.operator("MUL", [x, self.constant(self.scales(shape[-1]))], shape)
        return self.operator("ADD", [y, self.constant(self.shifts(shape[-1]))], shape)

    def conv(self, x: int, outputs: int = 40, **options: int) -> int:
        """A binary convolution that has taken in its batch-norm."""
        y = convolution(self, quantized(self, x), 40, outputs, packed=False, **options)
        for index, make in zip(
            self.model.operators[-1].inputs[2:4], (self.scales, self.shifts), strict=True
        ):
            self.model.tensors[index].data = make(outputs)
        return y

    def weights(self, outputs: int, *shape: int) -> int:
        """Signs times a batch-norm's scale for each output."""
        signs = RANDOM.choice([-1.0, 1.0], (outputs, *shape))
        scales = self.scales(outputs).reshape(-1, *[1] * len(shape))
        return self.constant((signs * scales).astype(np.float32))

    def ended(self, x: int) -> Model:
        """The model, whose last layer reads the signs of `x`."""
        channels = self.model.tensors[x].shape[-1]
        return self.finish(convolution(self, quantized(self, x), channels, 6, packed=False))


def relu(n: Network) -> Model:
    """A rectifier before the batch-norm."""
    y = convolution(n, quantized(n, n.input(IMAGE)), 40, 40, packed=False)
    return n.ended(n.norm(n.operator("RELU", [y], IMAGE)))


def pooled(n: Network) -> Model:
    """A pool before the batch-norm."""
    y = convolution(n, quantized(n, n.input(IMAGE)), 40, 40, packed=False)
    return n.ended(n.norm(n.operator("MAX_POOL_2D", [y], (1, 3, 3, 40), **POOL)))


def shortcut(n: Network) -> Model:
    """A residual block that begins as an identity."""
    x = n.input(IMAGE)
    return n.ended(n.operator("ADD", [n.conv(x), x], IMAGE))


def sloped(n: Network) -> Model:
    """A PReLU, whose slopes have zeros too."""
    y = n.conv(n.input(IMAGE))
    slopes = n.constant(np.abs(n.scales(40)).reshape(1, 1, 40))
    return n.ended(n.operator("PRELU", [y, slopes], IMAGE))


def dense(n: Network) -> Model:
    """A dense layer behind Flatten."""
    x = unpacked(n, quantized(n, n.input(IMAGE)), 40)
    row = n.operator("RESHAPE", [x, n.integers(1, 640)], (1, 640))
    parts = [row, n.weights(9, 640), n.constant(n.shifts(9))]
    return n.finish(n.operator("FULLY_CONNECTED", parts, (1, 9)))


def float_convolution(n: Network) -> Model:
    """A convolution that LCE's converter left float."""
    x = unpacked(n, quantized(n, n.input(IMAGE)), 40)
    parts = [x, n.weights(9, 3, 3, 40), n.constant(n.shifts(9))]
    return n.finish(n.operator("CONV_2D", parts, (1, 2, 2, 9), **WINDOW))


NETWORKS: dict[str, Callable[[Network], Model]] = {
    "batch-norm": lambda n: n.ended(n.norm(n.input(IMAGE))),
    "two batch-norms": lambda n: n.ended(n.norm(n.norm(n.input(IMAGE)))),
    "convolution": lambda n: n.finish(n.conv(n.input(IMAGE))),
    "convolution to signs": lambda n: n.ended(n.conv(n.input(IMAGE))),
    "a border of 0": lambda n: n.ended(n.conv(n.input(IMAGE), pad_values=0)),
    "rectifier": relu,
    "pool": pooled,
    "shortcut": shortcut,
    "PReLU": sloped,
    "dense": dense,
    "float convolution": float_convolution,
}


@pytest.mark.parametrize(
    ("zeros", "shift"),
    [
        (some, False),
        (some, True),
        (all_but_one, True),
        (all_of_them, False),
        (all_negative, True),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_scales_may_be_zero(
    name: str, zeros: Callable[[Numbers], None], shift: bool, tmp_path: Path
) -> None:
    model = NETWORKS[name](Network(zeros, shift))
    layers = check(model, *images(*IMAGE), exact=True)
    assert not any(layer.kind == "float" for layer in layers)
    assert import_tflite(write(model), tmp_path / "a.onnx").float_layers == {}


def untrained(size: float) -> Model:
    """Dense layers with batch-norms as they begin: of mean 0, so that many sums are 0.

    size: of the weights. TFLite adds so many in floats, and rounds.
    """
    b = Builder()
    y = b.input((1, 4, 4, 40))
    y = b.operator("RESHAPE", [y, b.integers(1, 640)], (1, 640))
    for inputs, outputs in ((640, 512), (512, 512), (512, 10)):
        signs = RANDOM.choice([-size, size], (outputs, inputs)).astype(np.float32)
        y = unpacked(b, quantized(b, y), inputs)
        y = b.operator("FULLY_CONNECTED", [y, b.constant(signs)], (1, outputs))
    model = b.finish(y)
    fill_in(model)
    return model


def test_an_untrained_network_is_imported(tmp_path: Path) -> None:
    """Its sums of exactly 0 are such in the packed file and in what it is checked against."""
    report = import_tflite(write(untrained(0.99950033)), tmp_path / "a.onnx")
    assert report.float_layers == {}
    (note,) = report.notes
    assert note.startswith("LceQuantize_4 and 1 more: signs of sums of floats")
    assert "LCE may have the other sign" in note


def rounded(make: Callable[[Builder, int], int]) -> list[str]:
    """Which signs are rounded of what is made of an image and quantised."""
    b = Builder()
    x = make(b, b.input(IMAGE))
    model = b.finish(convolution(b, quantized(b, x), b.model.tensors[x].shape[-1], 4))
    fill_in(model)
    return rounded_signs(model)


def scaled(b: Builder, x: int) -> int:
    """Times a number for each channel."""
    return b.operator("MUL", [x, b.constant(np.ones(40, np.float32))], IMAGE)


def added(b: Builder, x: int, y: int) -> int:
    """A sum of two images."""
    return b.operator("ADD", [x, y], IMAGE)


def layer(b: Builder, x: int, **options: Any) -> int:
    """A binary convolution to floats."""
    return convolution(b, quantized(b, x), 40, 40, packed=False, **options)


def real(b: Builder, x: int) -> int:
    """A float convolution."""
    parts = [
        x,
        b.constant(np.ones((40, 1, 1, 40), np.float32)),
        b.constant(np.ones(40, np.float32)),
    ]
    return b.operator("CONV_2D", parts, IMAGE, **WINDOW)


def test_signs_of_exact_numbers_are_not_named() -> None:
    exact: list[Callable[[Builder, int], int]] = [
        lambda b, x: x,
        layer,
        scaled,
        lambda b, x: scaled(b, layer(b, x)),
        lambda b, x: added(b, layer(b, x), x),
        lambda b, x: layer(b, x, padding=Padding.VALID, pad_values=0),
        lambda b, x: layer(b, real(b, x)),
    ]
    for make in exact[:-1]:
        assert rounded(make) == []
    # Behind a layer of signs, rounding before them is past.
    assert rounded(exact[-1]) == ["LceQuantize_1"]


def test_signs_of_rounded_numbers_are_named() -> None:
    inexact: list[Callable[[Builder, int], int]] = [
        real,
        lambda b, x: layer(b, x, pad_values=0),
        lambda b, x: added(b, scaled(b, layer(b, x)), x),
        lambda b, x: b.operator("TANH", [x], IMAGE),
        lambda b, x: scaled(b, real(b, x)),
    ]
    for make in inexact:
        (found,) = rounded(make)
        assert found.startswith("LceQuantize_")
