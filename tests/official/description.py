"""Networks as lists of layers with their weights, from which torch's and Keras's are both made.

Weights are numpy arrays in torch's layout. A binary layer takes the signs of
its input, of which 0 has +1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Conv:
    """Convolution with weights [O, I, kh, kw], square in stride and padding.

    border: what a binary convolution is surrounded by.
    """

    weight: NDArray[np.float32]
    binary: bool = True
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    border: float = 1.0


@dataclass(frozen=True)
class Linear:
    """The product of [O, C * H * W] with an image, in torch's order."""

    weight: NDArray[np.float32]
    binary: bool = True


@dataclass(frozen=True)
class Norm:
    """Inference batch-norm of channels: scale, shift, mean, variance, each [C]."""

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class MaxPool:
    """Maxima of 2x2."""


@dataclass(frozen=True)
class AveragePool:
    """Means of size x size."""

    size: int


@dataclass(frozen=True)
class Residual:
    """The sum of two ways; an empty shortcut is the input itself."""

    body: list[Layer]
    shortcut: list[Layer] = field(default_factory=list)


Layer = Conv | Linear | Norm | Relu | MaxPool | AveragePool | Residual


@dataclass(frozen=True)
class Network:
    """Layers for images [C, H, W]; the last gives logits [K]."""

    image: tuple[int, int, int]
    layers: list[Layer]


class Maker:
    """Draws layers with random weights."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def conv(self, inputs: int, outputs: int, kernel: int = 3, **options: float) -> Conv:
        """A binary convolution, padded to keep the size unless `padding` is given."""
        settings: dict[str, float] = {"padding": kernel // 2} | options
        return Conv(self._signs(outputs, inputs, kernel, kernel), **settings)  # type: ignore[arg-type]

    def real_conv(self, inputs: int, outputs: int, kernel: int, **options: int) -> Conv:
        """A convolution with real weights, surrounded by zeros."""
        weight = self.random.normal(
            0, (inputs * kernel**2) ** -0.5, (outputs, inputs, kernel, kernel)
        )
        return Conv(weight.astype(np.float32), binary=False, border=0.0, **options)

    def linear(self, inputs: int, outputs: int) -> Linear:
        """A binary linear layer."""
        return Linear(self._signs(outputs, inputs))

    def real_linear(self, inputs: int, outputs: int) -> Linear:
        """A linear layer with real weights."""
        weight = self.random.normal(0, inputs**-0.5, (outputs, inputs))
        return Linear(weight.astype(np.float32), binary=False)

    def norm(self, channels: int, products: int) -> Norm:
        """Batch-norm after a sum of that many products, a third of its scales negative."""
        deviation = products**0.5
        return self._norm(
            self.random.choice([-1.0, 1.0], channels, p=[1 / 3, 2 / 3])
            * self.random.uniform(0.3, 1.5, channels),
            self.random.normal(0, 0.3, channels),
            self.random.normal(0, 0.3 * deviation, channels),
            self.random.uniform(0.5, 1.5, channels) * products,
        )

    def tied_norm(self, channels: int, products: int) -> Norm:
        """Batch-norm that is exactly 0 for many sums: its means are reachable integers."""
        norm = self.norm(channels, products)
        spread = int(products**0.5)
        mean = 2 * self.random.integers(-spread // 2, spread // 2 + 1, channels) + products % 2
        return self._norm(norm.scale, np.zeros(channels), mean, norm.variance)

    def _norm(self, *arrays: NDArray[np.generic]) -> Norm:
        return Norm(*(array.astype(np.float32) for array in arrays))

    def _signs(self, *shape: int) -> NDArray[np.float32]:
        return self.random.choice([-1.0, 1.0], shape).astype(np.float32)
