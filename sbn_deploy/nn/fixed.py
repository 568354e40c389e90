"""Layers with constant weights: what binary layers become when their weights are fixed."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sbn_deploy.nn.geometry import ConvGeometry


class FixedLinear(nn.Module):
    """A linear layer with a constant -1/+1 weight [out_features, in_features] in a buffer."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class FixedConv(nn.Module):
    """A convolution with a constant weight in a buffer.

    The weight is [O, C / groups, k] in one dimension, [O, C / groups, h, w] in two.
    """

    weight: Tensor

    def __init__(self, weight: Tensor, geometry: ConvGeometry) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        return self.geometry.convolve(x, self.weight)

    def extra_repr(self) -> str:
        return repr(self.geometry)


def scale_channels(x: Tensor, scale: Tensor, axis: int) -> Tensor:
    """x times scale [C], whose channels are along `axis` of x."""
    shape = [1] * x.ndim
    shape[axis] = -1
    return x * scale.to(x.dtype).view(shape)


class ChannelScale(nn.Module):
    """Multiplies each channel of x by a constant, scale [C], in a buffer.

    Args:
        axis: of the channels: 1 in x [N, C, ...], -1 in sequences x [N, T, C].
    """

    scale: Tensor

    def __init__(self, scale: Tensor, axis: int = 1) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return scale_channels(x, self.scale, self.axis)
