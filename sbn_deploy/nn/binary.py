"""Linear and convolution layers with Bernoulli weights, and their fixed versions.

A weight w is +1 with probability F(eta) and -1 otherwise, where the latent eta
is the trained parameter and F the cdf of the weight noise (arXiv 2006.06880).
Binary layers have no bias: a batch-norm follows them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, TypedDict, Unpack, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.estimator import Forward, check_forward, straight_through
from sbn_deploy.nn.noise import Noise
from sbn_runtime.errors import ConfigError

Estimator = Literal["identity", "proxy"]
"""Gradient of the latent: with respect to the mean (mirror descent), or times 2p(eta)."""


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """(vertical, horizontal) from one number or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class WeightOptions(TypedDict, total=False):
    """Keyword arguments of every `BinaryLayer`, with their defaults.

    noise ("logistic"): weight noise, or its name; F is its cdf.
    estimator ("identity"): "identity" passes the weight gradient on as the
        gradient with respect to the mean (use a mirror-descent optimiser);
        "proxy" multiplies it by 2p(eta) (use any optimiser).
    init_std (2.0): latents start as N(0, init_std^2).
    train_forward ("sampled"), eval_forward ("deterministic"): how weights are
        evaluated in each mode.
    local_reparametrization (False): in training, draw the layer's outputs from
        the normal distribution with their mean and variance instead of drawing
        weights (arXiv 1506.02557): less variance, and real-valued outputs.
    scale (False): multiply each output channel by a trained number, after the
        sums, so that weights stay -1 and +1; for layers without batch-norm.
    """

    noise: str | Noise
    estimator: Estimator
    init_std: float
    train_forward: Forward
    eval_forward: Forward
    local_reparametrization: bool
    scale: bool


class BinaryLayer(nn.Module, ABC):
    """A layer whose weights are Bernoulli, with latents in the parameter `latent`.

    Args:
        shape: shape of the weight, output channels first.
        options: see `WeightOptions`.

    Attributes:
        latent: eta, of the shape of the weight.
        scale: factor of each output channel [O], or None.
        generator: where weights are drawn from; None is torch's default.

    Raises:
        ConfigError: unknown noise, estimator or forward, or local
            reparametrisation of weights that are not sampled.
    """

    latent: nn.Parameter

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        noise: str | Noise = "logistic",
        estimator: Estimator = "identity",
        init_std: float = 2.0,
        train_forward: Forward = "sampled",
        eval_forward: Forward = "deterministic",
        local_reparametrization: bool = False,
        scale: bool = False,
    ) -> None:
        super().__init__()
        if local_reparametrization and train_forward != "sampled":
            raise ConfigError(
                f"local reparametrisation samples; train_forward {train_forward!r} does not"
            )
        if estimator not in get_args(Estimator):
            raise ConfigError(
                f"unknown estimator {estimator!r}; choose one of {', '.join(get_args(Estimator))}"
            )
        self.noise = noises.get(noise)
        self.estimator = estimator
        self.train_forward = check_forward(train_forward)
        self.eval_forward = check_forward(eval_forward)
        self.generator: torch.Generator | None = None
        self.local_reparametrization = local_reparametrization
        self.latent = nn.Parameter(init_std * torch.randn(shape))
        # Outputs of about unit size for inputs of unit size.
        fan_in = math.prod(shape[1:])
        self.scale = nn.Parameter(torch.full(shape[:1], fan_in**-0.5)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.local_reparametrization and self.train_forward == "sampled":
            sums = self._sums_reparametrized(x)
        else:
            sums = self.sums(x, self.weight().to(x.dtype))
        return sums if self.scale is None else scale_channels(sums, self.scale)

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's linear map of x with the given weight."""

    def _sums_reparametrized(self, x: Tensor) -> Tensor:
        """A draw from the normal distribution with the mean and variance of the sums."""
        mean = straight_through(
            self.latent, self.noise, "mean", identity=self.estimator == "identity"
        ).to(x.dtype)
        variance = self.squared_sums(x, 1 - mean.square())
        noise = torch.randn_like(variance)
        return self.sums(x, mean) + variance.clamp_min(1e-12).sqrt() * noise

    def squared_sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's linear map of x^2, border included."""
        return self.sums(x.square(), weight)

    def weight(self) -> Tensor:
        """The weight for one forward pass: a new sample, the mode, or the mean."""
        return straight_through(
            self.latent,
            self.noise,
            self.train_forward if self.training else self.eval_forward,
            identity=self.estimator == "identity",
            generator=self.generator,
        )

    def fixed(self, weight: Tensor) -> nn.Module:
        """The same layer with the given -1/+1 weight instead of a random one."""
        layer = self.fixed_sums(weight)
        if self.scale is None:
            return layer
        return nn.Sequential(layer, ChannelScale(self.scale.detach().clone()))

    @abstractmethod
    def fixed_sums(self, weight: Tensor) -> nn.Module:
        """The linear map with the given weight in a buffer."""


class BinaryLinear(BinaryLayer):
    """x [N, in_features] -> x W^T [N, out_features]. Options: `WeightOptions`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__((out_features, in_features), **options)

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight)

    def fixed_sums(self, weight: Tensor) -> FixedLinear:
        return FixedLinear(weight)

    def extra_repr(self) -> str:
        outputs, inputs = self.latent.shape
        return f"{inputs}, {outputs}, noise={self.noise.name}, estimator={self.estimator}"


class BinaryConv2d(BinaryLayer):
    """x [N, in_channels, H, W] -> [N, out_channels, H', W']. Options: `WeightOptions`.

    Args:
        kernel_size, stride, padding, dilation: a number, or (vertical, horizontal).
        padding_value: what surrounds the input: -1, 0 or +1. With binary inputs
            +1 and -1 keep every operand binary; 0 does not.
        unit: the size of the inputs; the border is padding_value times it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        padding_value: float = 1.0,
        unit: float = 1.0,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__((out_channels, in_channels, *pair(kernel_size)), **options)
        self.geometry = ConvGeometry(stride, padding, dilation, padding_value, unit)

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.geometry.convolve(x, weight)

    def squared_sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.geometry.squared().convolve(x.square(), weight)

    def fixed_sums(self, weight: Tensor) -> FixedConv2d:
        return FixedConv2d(weight, self.geometry)

    def extra_repr(self) -> str:
        outputs, inputs, height, width = self.latent.shape
        return (
            f"{inputs}, {outputs}, kernel_size={(height, width)}, {self.geometry}, "
            f"noise={self.noise.name}, estimator={self.estimator}"
        )


class ConvGeometry:
    """Stride, padding and dilation of a convolution, each (vertical, horizontal).

    The border of the input holds `padding_value` (-1, 0 or +1) times `unit`.

    Raises:
        ConfigError: `padding_value` is not -1, 0 or +1.
    """

    def __init__(
        self,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        padding_value: float = 0.0,
        unit: float = 1.0,
    ) -> None:
        if padding_value not in (-1.0, 0.0, 1.0):
            raise ConfigError(f"padding_value is {padding_value}; it must be -1, 0 or 1")
        self.stride = pair(stride)
        self.padding = pair(padding)
        self.dilation = pair(dilation)
        self.padding_value = float(padding_value)
        self.border = padding_value * unit

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Cross-correlation of x [N, C, H, W] with weight [O, C, h, w]."""
        padding = self.padding
        if padding != (0, 0) and self.border != 0:
            vertical, horizontal = padding
            sides = [horizontal, horizontal, vertical, vertical]
            x = F.pad(x, sides, value=self.border)
            padding = (0, 0)
        return F.conv2d(x, weight, None, self.stride, padding, self.dilation)

    def squared(self) -> ConvGeometry:
        """The geometry for the squares of inputs: the border is squared too."""
        return ConvGeometry(
            self.stride, self.padding, self.dilation, abs(self.padding_value), self.border**2
        )

    def __repr__(self) -> str:
        return (
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"padding_value={self.padding_value:g}"
        )


def scale_channels(x: Tensor, scale: Tensor) -> Tensor:
    """x [N, C, ...] times scale [C]."""
    return x * scale.to(x.dtype).view(-1, *[1] * (x.ndim - 2))


class ChannelScale(nn.Module):
    """Multiplies each channel of x [N, C, ...] by a constant, scale [C], in a buffer."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        return scale_channels(x, self.scale)


class FixedLinear(nn.Module):
    """A linear layer with a constant -1/+1 weight [out_features, in_features] in a buffer."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class FixedConv2d(nn.Module):
    """A convolution with a constant -1/+1 weight [O, C, h, w] in a buffer."""

    weight: Tensor

    def __init__(self, weight: Tensor, geometry: ConvGeometry) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        return self.geometry.convolve(x, self.weight)

    def extra_repr(self) -> str:
        return repr(self.geometry)
