"""Stochastic sign with a straight-through gradient: what activations and weights share.

The forward value of a unit with input a is one of

- sampled:        x in {-1, +1} with P(x = +1) = F(a),
- deterministic:  the mode of x, sign(a) with sign(0) = +1,
- mean:           m(a) = E[x | a].

The backward pass multiplies by the slope 2p(a), which is the straight-through
estimator of the gradient with respect to a (Shekhovtsov and Yanush,
arXiv 2006.06880): exact for `mean`, and for `sampled` in expectation when the
loss is multilinear in the units of one layer. A surrogate takes the place of the
slope where one is given. Weights may pass the gradient unchanged, which estimates
the gradient with respect to the mean mu = m(a): additive updates of the latent are
then mirror descent on mu.

`gumbel_softmax` is the other way to a gradient: the relaxation of the sign.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from sbn_deploy.nn.noise import Noise
from sbn_deploy.nn.surrogate import Identity, Surrogate, Tanh
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
    if torch.is_inference_mode_enabled():
        return unrecorded_sign(a)
    return torch.where(a < 0, -1.0, 1.0).to(a.dtype)


def unrecorded_sign(a: Tensor) -> Tensor:
    """`sign` where nothing records it, in training and in inference mode: in whole numbers, which a
    CPU computes ten times faster, and which are no operation of exported files."""
    return (a < 0).view(torch.int8).mul_(-2).add_(1).to(a.dtype)


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
        surrogate: Surrogate | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0] and not isinstance(surrogate, Identity)
        if wanted and surrogate is not None:
            ctx.save_for_backward(surrogate.slope(a))
            wanted = False
        if forward == "deterministic":
            if wanted:
                ctx.save_for_backward(noise.slope(a))
            return unrecorded_sign(a) if ctx.needs_input_grad[0] else sign(a)
        if wanted:
            mean, slope = noise.mean_and_slope(a)
            ctx.save_for_backward(slope)
        else:
            mean = 2 * noise.cdf(a) - 1 if forward == "sampled" else noise.mean(a)
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
    surrogate: Surrogate | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The stochastic sign of `a`, any shape, with its straight-through gradient.

    Args:
        a: pre-activations or latents, floating point.
        noise: the noise z of sign(a - z).
        forward: sampled, deterministic or mean.
        surrogate: what gradients are multiplied by instead of the slope 2p(a) of the noise,
            which gives the gradient with respect to a; `Identity` gives the one with respect
            to the mean.
        generator: what to sample with; None is torch's default.
    """
    x = _StraightThrough.apply(a, noise, forward, surrogate, generator)  # type: ignore[no-untyped-call]
    return cast(Tensor, x)


def gumbel_softmax(
    a: Tensor, noise: Noise, forward: Forward, *, temperature: float = 0.5, hard: bool
) -> Tensor:
    """The relaxation tanh((a - z) / T) of sign(a - z), any shape, z sampled from the noise.

    For logistic noise the binary Gumbel-softmax or concrete distribution (Jang et al.,
    arXiv 1611.01144; Maddison et al., arXiv 1611.00712) in -1/+1 encoding.

    Args:
        a: pre-activations, floating point.
        noise: of z.
        forward: sampled; or deterministic, which is sign(a) with the derivative of
            tanh(a / T).
        temperature: T > 0.
        hard: straight-through form: the sign forward, and the derivative of the
            relaxation backward.

    Raises:
        ConfigError: the forward is "mean", which has nothing to relax.
    """
    if forward == "mean":
        raise ConfigError("the mean of a unit is not sampled, and needs no Gumbel-softmax")
    if forward == "deterministic":
        return straight_through(a / temperature, noise, "deterministic", Tanh())
    z = noise.sample(a.shape, dtype=torch.promote_types(a.dtype, torch.float32), device=a.device)
    difference = (a - z) / temperature
    if hard:
        return straight_through(difference, noise, "deterministic", Tanh()).to(a.dtype)
    return torch.tanh(difference).to(a.dtype)
