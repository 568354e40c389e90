"""Layers of floats that compute in 8 bits, in training as on the device.

A float x becomes the whole number p = round(x / step), clipped to 256 consecutive integers
including 0, and a weight w the whole number q = round(w / step_o), from -127 to 127, with a step
for each output channel o. The layer gives step step_o sum(q p) + bias. Gradients pass the roundings
straight through, and are zero for inputs beyond the limits. (Jacob et al., arXiv 1712.05877,
section 3.)
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbn_deploy.nn.fixed import scale_channels
from sbn_deploy.nn.input import whole_weight
from sbn_runtime.errors import ArtifactError

_Window = tuple[int, int]
"""Stride and padding."""

LARGEST = 255
MOMENTUM = 0.1
"""Of the ranges of inputs, which are measured in training."""


class _Codes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: Tensor) -> Tensor:
        codes = torch.round(x / step)
        ctx.save_for_backward((codes >= low) & (codes <= low + LARGEST), step)
        return codes.clamp(low, low + LARGEST)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        inside, step = ctx.saved_tensors
        return gradients[0] * inside / step, None, None


class EightBit(nn.Module):
    """What 8-bit layers have in common: weights, and the range of their inputs.

    In training mode, the smallest and largest input of each batch move `low` and `high`, which
    always contain 0; they are NaN before the first batch.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    low: Tensor
    high: Tensor
    window: _Window | None

    def _set_up(self, shape: tuple[int, ...], *, bias: bool) -> None:
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.register_parameter("bias", nn.Parameter(torch.zeros(shape[0])) if bias else None)
        self.register_buffer("low", torch.full((), torch.nan))
        self.register_buffer("high", torch.full((), torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._measure(x.detach())
        step, lowest = self._steps()
        codes = cast(Tensor, _Codes.apply(x, step, lowest))  # type: ignore[no-untyped-call]
        whole, scale = whole_weight(self.weight)
        return _result(codes, whole, step * scale.flatten(), self.bias, self.window)

    def fixed(self) -> FixedEightBit:
        """The same layer with its whole numbers in buffers.

        Raises ArtifactError if it was never given an input in training mode.
        """
        if self.low.isnan():
            raise ArtifactError(
                "an 8-bit layer has not seen any inputs yet; train the network, or run it once in"
                " training mode"
            )
        step, lowest = self._steps()
        whole, scale = whole_weight(self.weight.detach())
        return FixedEightBit(self, whole, float(step), int(lowest), step * scale.flatten())

    def _measure(self, x: Tensor) -> None:
        low, high = x.amin().clamp(max=0).float(), x.amax().clamp(min=0).float()
        for kept, found in ((self.low, low), (self.high, high)):
            kept.copy_(torch.where(kept.isnan(), found, kept.lerp(found, MOMENTUM)))

    def _steps(self) -> tuple[Tensor, Tensor]:
        """The step, and the lowest whole number."""
        tiny = torch.finfo(torch.float32).tiny * LARGEST
        step = (self.high - self.low).clamp_min(tiny) / LARGEST
        return step, torch.round(self.low / step).clamp(-LARGEST, 0)


class EightBitConv2d(EightBit):
    """A convolution of images [N, C, H, W] in 8 bits, see the module.

    Args:
        stride, padding: of both axes; the border is 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.window = stride, padding
        self._set_up((out_channels, in_channels, kernel_size, kernel_size), bias=bias)


class EightBitLinear(EightBit):
    """A linear layer on [..., K] in 8 bits, see the module."""

    window = None

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__()
        self._set_up((out_features, in_features), bias=bias)


class FixedEightBit(nn.Module):
    """An 8-bit layer with constants, as the exporter reads it."""

    whole: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(
        self, layer: EightBit, whole: Tensor, step: float, lowest: int, scale: Tensor
    ) -> None:
        super().__init__()
        self.step, self.lowest, self.window = step, lowest, layer.window
        self.register_buffer("whole", whole)
        self.register_buffer("scale", scale.detach().clone())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.round(x / self.step).clamp(self.lowest, self.lowest + LARGEST)
        return _result(codes, self.whole, self.scale, self.bias, self.window)


def _result(
    codes: Tensor, whole: Tensor, scale: Tensor, bias: Tensor | None, window: _Window | None
) -> Tensor:
    """What a layer gives for whole numbers: a convolution with a window, else a linear layer."""
    axis = -1 if window is None else 1
    sums = F.linear(codes, whole) if window is None else F.conv2d(codes, whole, None, *window)
    result = scale_channels(sums, scale, axis)
    if bias is None:
        return result
    shape = [1] * result.ndim
    shape[axis] = -1
    return result + bias.view(shape)
