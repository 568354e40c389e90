"""The first layer: 8-bit images against 8-bit or binary weights, in exact integers."""

from __future__ import annotations

from typing import Any, Literal, Unpack, cast, get_args

import torch
from torch import Tensor, nn

from sbn_deploy.nn.binary import WeightOptions
from sbn_deploy.nn.conv import BinaryConv2d
from sbn_deploy.nn.fixed import FixedConv
from sbn_deploy.nn.geometry import ConvGeometry, Sizes, sizes
from sbn_runtime.errors import ConfigError

PIXEL_SCALE = 255.0
"""Inputs are x = (2 pixel - 255) / 255."""
WEIGHT_MAX = 127.0

InputWeights = Literal["int8", "binary"]
"""Weights of a first layer that computes in integers."""


def pixels_as_integers(x: Tensor) -> Tensor:
    """2 pixel - 255, from -255 to 255, of images normalised to (2 pixel - 255) / 255.

    Rounding removes the error of the division: the result is exact in float32
    (and in bfloat16).
    """
    return torch.round(x * PIXEL_SCALE)


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return torch.round(weight / scale).clamp_(-WEIGHT_MAX, WEIGHT_MAX)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] / scale, None


def whole_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and their scale for each output channel, [O, 1, ...].

    A weight [O, ...] divided by its largest magnitude in each output channel, times 127 and
    rounded, with a straight-through gradient.
    """
    axes = tuple(range(1, weight.ndim))
    largest = weight.detach().abs().amax(axes, keepdim=True)
    scale = largest.clamp_min(torch.finfo(largest.dtype).tiny * WEIGHT_MAX) / WEIGHT_MAX
    rounded = _RoundStraightThrough.apply(weight, scale)  # type: ignore[no-untyped-call]
    return cast(Tensor, rounded), scale


class Int8Conv2d(nn.Module):
    """Convolution with integer weights; integers in, integers out.

    The real parameter `weight`, divided by its largest magnitude in each output
    channel and times 127, is rounded to integers -127..127, with a
    straight-through gradient. The output is not scaled back: a batch-norm
    follows, which absorbs a scale for each channel. In float32 the sums are
    exact while in_channels * h * w * 127 * (largest input) < 2^24.

    Args:
        geometry: stride, padding and border.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        geometry: ConvGeometry,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *sizes(kernel_size, 2)))
        nn.init.kaiming_normal_(self.weight)

    def integer_weight(self) -> Tensor:
        """The weight in integers from -127 to 127, in the dtype of the parameter."""
        return whole_weight(self.weight)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.geometry.convolve(x, self.integer_weight())

    def fixed(self) -> FixedConv:
        """The same layer with its integer weight in a buffer."""
        return FixedConv(self.integer_weight().detach(), self.geometry)

    def extra_repr(self) -> str:
        outputs, inputs, height, width = self.weight.shape
        return f"{inputs}, {outputs}, kernel_size={(height, width)}, {self.geometry}"


class InputConv2d(nn.Module):
    """Convolution of 8-bit images x [N, C, H, W] with pre-activations in exact integers.

    x, normalised to (2 pixel - 255) / 255, becomes the integers 2 pixel - 255.
    A batch-norm follows. Sums are exact in float32: for 8-bit weights while C * h * w is at
    most `sbn_converters.ops.MAX_EXACT_PIXEL_PRODUCTS`, as with 3x3 kernels on up to 57 channels.

    Args:
        weights: "int8" (see `Int8Conv2d`) or "binary" (see `BinaryConv2d`).
        kernel_size, stride, padding, dilation: a number, or (vertical, horizontal).
        padding_value: what surrounds the normalised image: -1 (black), 0 or +1 (white).
        options: of binary weights, see `WeightOptions`.

    Raises:
        ConfigError: unknown weights or options, or another padding_value.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        *,
        weights: InputWeights = "int8",
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        padding_value: float = -1.0,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        if weights not in get_args(InputWeights):
            raise ConfigError(
                f"weights is {weights!r}; choose one of {', '.join(get_args(InputWeights))}"
            )
        self.conv: nn.Module
        if weights == "int8":
            geometry = ConvGeometry(stride, padding, dilation, padding_value, PIXEL_SCALE)
            self.conv = Int8Conv2d(in_channels, out_channels, kernel_size, geometry)
        else:
            self.conv = BinaryConv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                padding_value=padding_value,
                unit=PIXEL_SCALE,
                **options,
            )

    def forward(self, x: Tensor) -> Tensor:
        sums: Tensor = self.conv(pixels_as_integers(x))
        return sums
