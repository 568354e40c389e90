"""What layers with Bernoulli weights have in common.

A weight w is +1 with probability F(eta) and -1 otherwise, where the latent eta
is the trained parameter and F the cdf of the weight noise (arXiv 2006.06880).
Binary layers have no bias: a batch-norm follows them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypedDict, get_args

import torch
from torch import Tensor, nn

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.estimator import Forward, check_forward, straight_through
from sbn_deploy.nn.fixed import ChannelScale, scale_channels
from sbn_deploy.nn.fixed import FixedConv as FixedConv2d  # noqa: F401 (its name in 0.1)
from sbn_deploy.nn.geometry import ConvGeometry  # noqa: F401 (where 0.1 had it)
from sbn_deploy.nn.latents import latents_of
from sbn_deploy.nn.noise import Noise
from sbn_deploy.nn.surrogate import Identity, Surrogate
from sbn_runtime.errors import ConfigError

WeightGradient = Literal["identity", "proxy"]
"""Gradient of the latent: with respect to the mean (mirror descent), or times 2p(eta)."""


class LatentOptions(TypedDict, total=False):
    """How the weights of a `BinaryLayer` are sampled and trained, with the defaults.

    noise ("logistic"): weight noise, or its name; F is its cdf.
    weight_gradient ("identity"): "identity" passes the gradient of the sampled weight
        on as the one with respect to the mean (use a mirror-descent optimiser);
        "proxy" multiplies it by 2p(eta) (use any optimiser).
    init_std (2.0): latents start as N(0, init_std^2).
    train_forward ("sampled"), eval_forward ("deterministic"): how weights are
        evaluated in each mode.
    local_reparametrization (False): in training, sample the layer's outputs from
        the normal distribution with their mean and variance instead of sampling
        weights (arXiv 1506.02557): less variance, and real-valued outputs.
    """

    noise: str | Noise
    weight_gradient: WeightGradient
    init_std: float
    train_forward: Forward
    eval_forward: Forward
    local_reparametrization: bool


class WeightOptions(LatentOptions, total=False):
    """Keyword arguments of every `BinaryLayer`: those of `LatentOptions`, and one more.

    scale (False): multiply each output channel by a trained number, after the
        sums, so that weights stay -1 and +1; for layers without batch-norm.
    """

    scale: bool


class BinaryLayer(nn.Module, ABC):
    """A layer whose weights are Bernoulli, with latents in the parameter `latent`.

    Args:
        shape: shape of the weight, output channels first.
        options: see `WeightOptions`.

    Attributes:
        latent: eta, of the shape of the weight.
        scale: factor of each output channel [O], or None.
        generator: what weights are sampled with; None is torch's default.
        channel_axis: axis of the output that holds the O channels.

    Raises:
        ConfigError: unknown noise, weight gradient or forward, or local
            reparametrisation of weights that are not sampled.
    """

    channel_axis: ClassVar[int] = 1
    latent: nn.Parameter

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        noise: str | Noise = "logistic",
        weight_gradient: WeightGradient = "identity",
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
        if weight_gradient not in get_args(WeightGradient):
            raise ConfigError(
                f"unknown weight_gradient {weight_gradient!r}; choose one of"
                f" {', '.join(get_args(WeightGradient))}"
            )
        self.noise = noises.get(noise)
        self.weight_gradient = weight_gradient
        self.train_forward = check_forward(train_forward)
        self.eval_forward = check_forward(eval_forward)
        self.init_std = init_std
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
        if self.scale is None:
            return sums
        return scale_channels(sums, self.scale, self.channel_axis)

    @torch.no_grad()
    def start_from(self, weight: Tensor) -> None:
        """Take latents, and scales if there are some, from the weights of a float layer.

        The latents have the signs of the weights, and a root mean square of
        `init_std`, see `sbn_deploy.nn.latents`. Scales become the mean magnitude of
        each output channel's weights.

        Args:
            weight: real weights, of the shape of the latents.

        Raises:
            ConfigError: weights that are not finite.
        """
        self.latent.copy_(latents_of(weight, self.init_std))
        if self.scale is not None:
            self.scale.copy_(weight.abs().flatten(1).mean(1))

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's linear map of x with the given weight."""

    def _sums_reparametrized(self, x: Tensor) -> Tensor:
        """A sample of the normal distribution with the mean and variance of the sums."""
        mean = straight_through(self.latent, self.noise, "mean", self._surrogate).to(x.dtype)
        variance = self.squared_sums(x, 1 - mean.square())
        noise = torch.randn_like(variance)
        return self.sums(x, mean) + variance.clamp_min(1e-12).sqrt() * noise

    @property
    def _surrogate(self) -> Surrogate | None:
        return Identity() if self.weight_gradient == "identity" else None

    def squared_sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's linear map of x^2, border included."""
        return self.sums(x.square(), weight)

    def weight(self) -> Tensor:
        """The weight for one forward pass: a new sample, the mode, or the mean."""
        return straight_through(
            self.latent,
            self.noise,
            self.train_forward if self.training else self.eval_forward,
            self._surrogate,
            generator=self.generator,
        )

    def fixed(self, weight: Tensor) -> nn.Module:
        """The same layer with the given -1/+1 weight instead of a random one."""
        layer = self.fixed_sums(weight)
        if self.scale is None:
            return layer
        return nn.Sequential(layer, ChannelScale(self.scale.detach().clone(), self.channel_axis))

    @abstractmethod
    def fixed_sums(self, weight: Tensor) -> nn.Module:
        """The linear map with the given weight in a buffer."""
