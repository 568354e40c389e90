"""Binary layers as LCE's operators, also where LCE has no such operator.

LCE's convolution has borders of +1, and of 0 only where TFLite's padding SAME
gives them, for floats, without a fused activation and for an even number of
channels (its reference kernel). Its groups need multiples of 32 channels and
do not run in its default kernels. What it lacks is composed, exactly:

- a border of -1: signs and weights turned, and a border of +1;
- any other border of 0: half the sum of the products with borders of +1 and -1;
- groups: a convolution each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..schema import Activation
from ..words32 import pack_bits32
from .build import Builder, activation_of
from .window import Window

Float32 = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class BinaryLayer:
    """A binary layer before anything that follows it.

    x: a packed tensor [1, H, W, words]. weights: int32 [O, kh, kw, ceil(C/group/32)], a set
    bit is -1. channels: C. pad_value: -1, 0 or 1.
    """

    builder: Builder
    name: str
    x: int
    weights: NDArray[np.int32]
    channels: int
    window: Window
    pad_value: int = 1
    group: int = 1

    def threshold(self, smallest: NDArray[np.int64]) -> int:
        """The packed signs: +1 from the dot product `smallest` [O] on."""
        if self.group > 1:
            return self._packed_groups(
                [
                    layer.threshold(part)
                    for layer, part in zip(self._groups(), self._parts(smallest), strict=True)
                ]
            )
        if not self._has_zeros:
            layer = self._with_positive_border()
            return layer._convolution(threshold=smallest)
        # Whole numbers, exact in floats.
        ones = np.ones(len(self.weights), np.float32)
        difference = self._with_zeros(ones, -smallest.astype(np.float32))
        return self.builder.quantize(difference, f"{self.name}.signs")

    def scale(self, scale: Float32, bias: Float32, low: float, high: float) -> int:
        """Floats: the dot product, limited to [low, high], times scale plus bias [O]."""
        if self.group > 1:
            parts = zip(self._groups(), self._parts(scale), self._parts(bias), strict=True)
            made = [layer.scale(s, b, low, high) for layer, s, b in parts]
            return self.builder.concatenate(made, -1, self.name)
        limits = np.array(low, np.float32), np.array(high, np.float32)
        activation = activation_of(*limits)
        if activation is not None and not self._has_zeros:
            layer = self._with_positive_border()
            return layer._convolution(scale=scale, bias=bias, activation=activation)
        if activation is Activation.NONE:
            return self._with_zeros(scale, bias)
        ones, zeros = np.ones_like(scale), np.zeros_like(bias)
        dot = self.scale(ones, zeros, -np.inf, np.inf)
        limited = self.builder.clamp(dot, *limits, f"{self.name}.limited")
        return self.builder.affine(limited, scale, bias, self.name)

    @property
    def _has_zeros(self) -> bool:
        return self.window.is_padded and self.pad_value == 0

    def _convolution(
        self,
        *,
        threshold: NDArray[np.int64] | None = None,
        scale: Float32 | None = None,
        bias: Float32 | None = None,
        activation: Activation = Activation.NONE,
    ) -> int:
        return self.builder.binary_convolution(
            self.x,
            self.weights,
            self.channels,
            self.window,
            self.name,
            threshold=threshold,
            scale=scale,
            bias=bias,
            activation=activation,
            pad_value=self.pad_value,
        )

    def _with_positive_border(self) -> BinaryLayer:
        """The same with a border of +1, or without one."""
        if not self.window.is_padded:
            return replace(self, pad_value=1)
        if self.pad_value == 1:
            return self
        all_channels = np.ones(self.channels, np.bool_)
        turned = self.builder.turn(self.x, all_channels, self.name)
        return replace(
            self, x=turned, weights=self.weights ^ pack_bits32(all_channels), pad_value=1
        )

    def _with_zeros(self, scale: Float32, bias: Float32) -> int:
        """Floats of a layer with a border of 0."""
        _, height, width, _ = self.builder.shape(self.x)
        if self.window.is_same(height, width) and self.channels % 2 == 0:
            return self._convolution(scale=scale, bias=bias)
        half = scale / np.float32(2)
        positive = replace(self, pad_value=1, name=f"{self.name}.positive")
        negative = replace(self, pad_value=-1, name=f"{self.name}.negative")
        return self.builder.binary(
            "ADD",
            positive._convolution(scale=half, bias=bias),
            negative._with_positive_border()._convolution(scale=half, bias=np.zeros_like(bias)),
            self.name,
        )

    # Groups

    def _parts(self, array: NDArray[Number]) -> list[NDArray[Number]]:
        return np.split(array, self.group)

    def _groups(self) -> list[BinaryLayer]:
        """The layers of the groups."""
        channels = self.channels // self.group
        if channels % 32 == 0:
            inputs = self.builder.split(self.x, self.group, 3, self.name)
        else:
            floats = self.builder.dequantize(self.x, self.channels, f"{self.name}.floats")
            inputs = [
                self.builder.quantize(part, f"{self.name}.part")
                for part in self.builder.split(floats, self.group, 3, self.name)
            ]
        return [
            replace(
                self,
                name=f"{self.name}.group{index}",
                x=x,
                weights=weights,
                channels=channels,
                group=1,
            )
            for index, (x, weights) in enumerate(
                zip(inputs, self._parts(self.weights), strict=True)
            )
        ]

    def _packed_groups(self, parts: list[int]) -> int:
        """Packed tensors of equally many channels behind one another."""
        channels = len(self.weights) // self.group
        if channels % 32 == 0:
            return self.builder.concatenate(parts, -1, self.name)
        floats = [self.builder.dequantize(part, channels, f"{self.name}.floats") for part in parts]
        joined = self.builder.concatenate(floats, -1, f"{self.name}.joined")
        return self.builder.quantize(joined, self.name)
