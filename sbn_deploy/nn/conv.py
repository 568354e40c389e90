"""Convolutions with Bernoulli weights, of signals and of images."""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import Tensor

from sbn_deploy.nn.binary import BinaryLayer, WeightOptions
from sbn_deploy.nn.fixed import FixedConv
from sbn_deploy.nn.geometry import ConvGeometry, Sizes, sizes
from sbn_runtime.errors import ConfigError


class BinaryConv(BinaryLayer):
    """What `BinaryConv1d` and `BinaryConv2d` share; they differ in `axes` alone.

    Args:
        kernel_size, stride, padding, dilation: a number, or one for each axis.
        groups: parts into which input and output channels are divided.
        padding_value: what surrounds the input: -1, 0 or +1. With binary inputs
            +1 and -1 keep every operand binary; 0 does not.
        unit: the size of the inputs; the border is padding_value times it.

    Raises:
        ConfigError: groups that do not divide the channels, sizes for another
            number of axes, another padding_value, or unknown options.
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        *,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        padding_value: float = 1.0,
        unit: float = 1.0,
        **options: Unpack[WeightOptions],
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ConfigError(
                f"{groups} groups do not divide {in_channels} input and {out_channels} output "
                "channels"
            )
        shape = (out_channels, in_channels // groups, *sizes(kernel_size, self.axes))
        super().__init__(shape, **options)
        self.geometry = ConvGeometry(
            stride, padding, dilation, padding_value, unit, groups=groups, axes=self.axes
        )

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.geometry.convolve(x, weight)

    def squared_sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.geometry.squared().convolve(x.square(), weight)

    def fixed_sums(self, weight: Tensor) -> FixedConv:
        return FixedConv(weight, self.geometry)

    def extra_repr(self) -> str:
        outputs, inputs, *kernel = self.latent.shape
        return (
            f"{inputs * self.geometry.groups}, {outputs}, kernel_size={tuple(kernel)}, "
            f"{self.geometry}, noise={self.noise.name}, weight_gradient={self.weight_gradient}"
        )


class BinaryConv1d(BinaryConv):
    """x [N, in_channels, L] -> [N, out_channels, L'].

    Arguments: `BinaryConv`. Options: `WeightOptions`.

    Example:
        >>> import torch
        >>> from sbn_deploy.nn import BinaryConv1d, Sign
        >>> layer = BinaryConv1d(16, 32, 5, stride=2, padding=2).eval()
        >>> sums = layer(Sign()(torch.randn(4, 16, 100)))
        >>> tuple(sums.shape), bool((sums.abs() <= 16 * 5).all())
        ((4, 32, 50), True)
    """

    axes: ClassVar[int] = 1


class BinaryConv2d(BinaryConv):
    """x [N, in_channels, H, W] -> [N, out_channels, H', W'].

    Arguments: `BinaryConv`; sizes are (vertical, horizontal). Options: `WeightOptions`.

    Example:
        >>> import torch
        >>> from sbn_deploy.nn import BinaryConv2d, Sign
        >>> layer = BinaryConv2d(16, 32, (3, 5), padding=(1, 2)).eval()
        >>> sums = layer(Sign()(torch.randn(4, 16, 8, 20)))
        >>> tuple(sums.shape), bool((sums.abs() <= 16 * 15).all())
        ((4, 32, 8, 20), True)
    """

    axes: ClassVar[int] = 2
