"""Stochastic sign with a straight-through gradient: what activations and weights share.

The forward value of a unit with input a is one of

- sampled:        x in {-1, +1} with P(x = +1) = F(a),
- deterministic:  the mode of x, sign(a) with sign(0) = +1,
- mean:           m(a) = E[x | a].

The backward pass multiplies by the slope 2p(a), which is the straight-through
estimator of the gradient with respect to a (Shekhovtsov and Yanush,
arXiv 2006.06880): exact for `mean`, and for `sampled` in expectation when the
loss is multilinear in the units of one layer. Weights may instead pass the
gradient unchanged, which estimates the gradient with respect to the mean
mu = m(a): additive updates of the latent are then mirror descent on mu.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from sbn_deploy.nn.noise import Noise
from sbn_runtime.errors import ConfigError

Forward = Literal["sampled", "deterministic", "mean"]
"""How a stochastic unit is evaluated."""


def check_forward(value: str) -> Forward:
    """Return `value` if it is a `Forward`; raise ConfigError if it is not."""
    if value not in get_args(Forward):
        raise ConfigError(
            f"unknown forward {value!r}; choose one of {', '.join(get_args(Forward))}"
        )
    return cast(Forward, value)


def sign(a: Tensor) -> Tensor:
    """-1 where a < 0, else +1: sign(0) = sign(-0.0) = sign(NaN) = +1. Keeps shape and dtype."""
    return torch.where(a < 0, -1.0, 1.0).to(a.dtype)


def sample_sign(mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Independent x in {-1, +1} with E[x] = mean, for mean in [-1, 1].

    Takes 16 random bits per element, four elements from one 64-bit number, and
    compares in 16-bit integers: several times faster than `torch.rand`.
    Probabilities are rounded towards 1/2 to a multiple of 2^-15; means of -1
    and +1 are certain. A mean that is not a number gives -1 or +1.
    """
    words = (mean.numel() + 3) // 4
    bits = torch.empty(words, dtype=torch.int64, device=mean.device)
    bits.random_(-(2**63), None, generator=generator)
    # Keep 15 bits of each element: v in [0, 2^15). Then the sum t + v with
    # t = 2^14 (mean - 1) does not overflow, and is >= 0 with probability (1 + mean) / 2.
    bits.bitwise_and_(0x7FFF_7FFF_7FFF_7FFF)
    # The memory order of the input: no transposition for channels-last tensors.
    strides = torch.empty_like(mean, device="meta").stride()
    total = bits.view(torch.int16).as_strided(mean.shape, strides)
    total.add_(mean.mul(2.0**14).to(torch.int16).sub_(2**14))
    # The sign bit, spread over the word: -1 or 0, and then -1 or +1.
    return total.bitwise_right_shift_(15).bitwise_or_(1).to(mean.dtype)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        noise: Noise,
        forward: Forward,
        identity: bool,
        generator: torch.Generator | None,
    ) -> Tensor:
        if forward == "deterministic":
            x = sign(a)
            if ctx.needs_input_grad[0] and not identity:
                ctx.save_for_backward(noise.slope(a))
            return x
        if ctx.needs_input_grad[0] and not identity:
            mean, slope = noise.mean_and_slope(a)
            ctx.save_for_backward(slope)
        else:
            mean = noise.mean(a)
        return sample_sign(mean, generator) if forward == "sampled" else mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        for slope in ctx.saved_tensors:
            gradient = gradient * slope
        return gradient, None, None, None, None


def straight_through(
    a: Tensor,
    noise: Noise,
    forward: Forward,
    *,
    identity: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The stochastic sign of `a`, any shape, with its straight-through gradient.

    Args:
        a: pre-activations or latents, floating point.
        noise: the noise z of sign(a - z).
        forward: sampled, deterministic or mean.
        identity: pass gradients unchanged (with respect to the mean) instead
            of multiplying them by the slope 2p(a) (with respect to a).
        generator: what to sample with; None is torch's default.
    """
    x = _StraightThrough.apply(a, noise, forward, identity, generator)  # type: ignore[no-untyped-call]
    return cast(Tensor, x)
