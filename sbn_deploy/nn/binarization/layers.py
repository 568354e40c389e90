"""One float layer as a binary one: norm, sign, binary layer, bias."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from sbn_deploy.nn.binary import BinaryLayer, LatentOptions
from sbn_deploy.nn.conv import BinaryConv1d, BinaryConv2d
from sbn_deploy.nn.linear import BinaryLinear

FLOAT_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
FloatLayer = nn.Conv1d | nn.Conv2d | nn.Linear


def why_not(layer: nn.Module) -> str | None:
    """Why a layer has no binary form, or None if it has one."""
    if type(layer) not in FLOAT_LAYERS:
        return f"there is no binary layer for {type(layer).__name__}"
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        if layer.padding_mode != "zeros":
            return f"binary layers do not pad with {layer.padding_mode!r}"
        if padding_of(layer) is None:
            return "padding 'same' differs from side to side"
    return None


def padding_of(layer: nn.Conv1d | nn.Conv2d) -> tuple[int, ...] | None:
    """Padding for each axis; None where the two sides differ."""
    if not isinstance(layer.padding, str):
        return tuple(layer.padding)
    axes = len(layer.kernel_size)
    if layer.padding == "valid":
        return (0,) * axes
    whole = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return None if any(size % 2 for size in whole) else tuple(size // 2 for size in whole)


def binary_form(
    layer: FloatLayer,
    *,
    sign: Callable[[], nn.Module],
    norm: bool,
    absorbed: bool,
    padding_value: float,
    options: LatentOptions,
) -> nn.Sequential:
    """[norm,] sign, binary layer [, bias] in place of a float layer.

    Args:
        norm: put a batch-norm before the sign.
        absorbed: a batch-norm follows, which makes scale and bias superfluous.
            Otherwise the binary layer gets scales, the mean magnitude of each
            output channel's weights, and keeps its bias.
        padding_value, options: of the binary layer.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if norm:
        parts["norm"] = _norm_before(layer)
    parts["sign"] = sign()
    parts["layer"] = made = _binary_layer(layer, padding_value, options, scale=not absorbed)
    if layer.bias is not None and not absorbed:
        parts["bias"] = Bias(layer.bias.detach().clone(), made.channel_axis)
    return nn.Sequential(parts).to(layer.weight.device, layer.weight.dtype).train(layer.training)


def _norm_before(layer: FloatLayer) -> nn.Module:
    match layer:
        case nn.Conv1d():
            return nn.BatchNorm1d(layer.in_channels)
        case nn.Conv2d():
            return nn.BatchNorm2d(layer.in_channels)
        case _:
            return VectorNorm(layer.in_features)


def _binary_layer(
    layer: FloatLayer, padding_value: float, options: LatentOptions, *, scale: bool
) -> BinaryLayer:
    made: BinaryLayer
    # Latents and scales are written below: neither time nor random numbers for others.
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            made = BinaryLinear(layer.in_features, layer.out_features, **options, scale=scale)
        else:
            make = BinaryConv1d if isinstance(layer, nn.Conv1d) else BinaryConv2d
            made = make(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                stride=layer.stride,
                padding=cast(tuple[int, ...], padding_of(layer)),
                dilation=layer.dilation,
                groups=layer.groups,
                padding_value=padding_value,
                **options,
                scale=scale,
            )
    made.to_empty(device=layer.weight.device).start_from(layer.weight)
    return made


class Bias(nn.Module):
    """Adds a trained number to each channel of x, bias [C].

    Args:
        axis: of the channels: 1 in x [N, C, ...], -1 in sequences x [N, T, C].
    """

    def __init__(self, bias: Tensor, axis: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        shape = [1] * x.ndim
        shape[self.axis] = -1
        return x + self.bias.view(shape)


class VectorNorm(nn.Module):
    """Batch-norm of the last axis: vectors [N, C], or those of sequences [N, T, C]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x if x.ndim == 2 else x.flatten(0, -2))
        return y if x.ndim == 2 else y.view(x.shape)
