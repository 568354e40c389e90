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


def sample_sign(mean: Tensor) -> Tensor:
    """Independent x in {-1, +1} with E[x] = mean, for mean in [-1, 1].

    Draws 16 random bits per element, four elements from one 64-bit draw, about
    three times faster than `torch.rand`. Probabilities are thereby rounded to
    the nearest multiple of 2^-16, and means of -1 and +1 are certain.
    """
    words = (mean.numel() + 3) // 4
    bits = torch.empty(words, dtype=torch.int64, device=mean.device).random_(-(2**63), None)
    # The memory order of the input: no transposition for channels-last tensors.
    strides = torch.empty_like(mean, device="meta").stride()
    uniform = bits.view(torch.int16).as_strided(mean.shape, strides)
    # Half-precision formats cannot tell neighbouring 16-bit integers apart.
    exact = mean.float() if mean.dtype.itemsize < 4 else mean
    positive = exact.mul(2.0**15).sub_(0.5) > uniform
    return positive.to(mean.dtype).mul_(2).sub_(1)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, noise: Noise, forward: Forward, identity: bool) -> Tensor:
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
        return sample_sign(mean) if forward == "sampled" else mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        for slope in ctx.saved_tensors:
            gradient = gradient * slope
        return gradient, None, None, None


def straight_through(
    a: Tensor, noise: Noise, forward: Forward, *, identity: bool = False
) -> Tensor:
    """The stochastic sign of `a`, any shape, with its straight-through gradient.

    Args:
        a: pre-activations or latents, floating point.
        noise: the noise z of sign(a - z).
        forward: sampled, deterministic or mean.
        identity: pass gradients unchanged (with respect to the mean) instead
            of multiplying them by the slope 2p(a) (with respect to a).
    """
    x = _StraightThrough.apply(a, noise, forward, identity)  # type: ignore[no-untyped-call]
    return cast(Tensor, x)
