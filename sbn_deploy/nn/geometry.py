"""Stride, padding, dilation and groups of convolutions of signals and images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_runtime.errors import ConfigError

Sizes = int | tuple[int, ...]
"""One number for every axis, or one for each: (length,), or (vertical, horizontal)."""


def sizes(value: Sizes, axes: int) -> tuple[int, ...]:
    """One number for each axis.

    Raises:
        ConfigError: another number of numbers.
    """
    expanded = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(expanded) != axes:
        raise ConfigError(f"{value} has {len(expanded)} numbers; give one, or {axes}")
    return expanded


class ConvGeometry:
    """How a kernel moves over a signal [N, C, L] (axes=1) or an image [N, C, H, W] (axes=2).

    The border of the input holds `padding_value` (-1, 0 or +1) times `unit`.

    Raises:
        ConfigError: `padding_value` is not -1, 0 or +1, or sizes for another
            number of axes.
    """

    def __init__(
        self,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        padding_value: float = 0.0,
        unit: float = 1.0,
        *,
        groups: int = 1,
        axes: int = 2,
    ) -> None:
        if padding_value not in (-1.0, 0.0, 1.0):
            raise ConfigError(f"padding_value is {padding_value}; it must be -1, 0 or 1")
        self.stride = sizes(stride, axes)
        self.padding = sizes(padding, axes)
        self.dilation = sizes(dilation, axes)
        self.padding_value = float(padding_value)
        self.border = padding_value * unit
        self.groups = groups
        self.axes = axes

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Cross-correlation of x [N, C, ...] with weight [O, C / groups, ...]."""
        padding, bias = self.padding, None
        if any(padding) and self.border != 0:
            if torch.is_grad_enabled() and x.requires_grad:
                # conv(x) = conv(x - border) + border sum(w), and x - border has a border of 0: no
                # padded copy, and no gradient of the border.
                x = x - self.border
                bias = self.border * weight.flatten(1).sum(1)
            else:
                # F.pad takes the last axis first.
                sides = [size for size in reversed(padding) for _ in range(2)]
                x = F.pad(x, sides, value=self.border)
                padding = (0,) * self.axes
        convolve = F.conv1d if self.axes == 1 else F.conv2d
        return convolve(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def squared(self) -> ConvGeometry:
        """The geometry for the squares of inputs: the border is squared too."""
        return ConvGeometry(
            self.stride,
            self.padding,
            self.dilation,
            abs(self.padding_value),
            self.border**2,
            groups=self.groups,
            axes=self.axes,
        )

    def __repr__(self) -> str:
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return (
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"padding_value={self.padding_value:g}{groups}"
        )
