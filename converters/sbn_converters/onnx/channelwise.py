"""Elementwise steps that treat each channel on its own, in their own arithmetic.

What stands between a binary convolution and the next sign is, as a rule, a
chain of such steps: batch-norm, scale, bias, clamp, PReLU. Each step here
computes what the trained network computes, rounding included, so that a
threshold found by evaluating the chain agrees with it on ties too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class ChannelStep(Protocol):
    """A function of one float for each channel."""

    def apply(self, x: Float32) -> Float32:
        """Maps float32 [V, C] to float32 [V, C]."""

    def direction(self) -> NDArray[np.int8] | None:
        """[C]: +1 non-decreasing, -1 non-increasing, 0 constant; None if neither."""

    def select(self, channels: slice) -> ChannelStep:
        """The same step for some of the channels."""


@dataclass(frozen=True)
class BatchNorm:
    """Inference batch-norm as torch computes it on a CPU.

    With alpha = weight / sqrt(var + eps) and beta = bias - mean * alpha, both
    rounded to float32, the result is the fused multiply-add x * alpha + beta.
    In double the product is exact and the sum keeps its sign, so the sign of
    the result is always the fused one.
    """

    alpha: Float32
    beta: Float32

    @classmethod
    def from_statistics(
        cls, weight: Float32, bias: Float32, mean: Float32, variance: Float32, epsilon: float
    ) -> BatchNorm:
        """Folds trained parameters and statistics, float32 [C] each."""
        one = np.float32(1)
        inverse = one / np.sqrt(variance.astype(np.float32) + np.float32(epsilon))
        alpha = (inverse * weight).astype(np.float32)
        exact = bias.astype(np.float64) - mean.astype(np.float64) * alpha.astype(np.float64)
        return cls(alpha, exact.astype(np.float32))

    def apply(self, x: Float32) -> Float32:
        return (x.astype(np.float64) * self.alpha + self.beta).astype(np.float32)

    def direction(self) -> NDArray[np.int8]:
        return np.sign(self.alpha).astype(np.int8)

    def select(self, channels: slice) -> BatchNorm:
        return BatchNorm(self.alpha[channels], self.beta[channels])


@dataclass(frozen=True)
class Add:
    """x + value, value float32 [C]."""

    value: Float32

    def apply(self, x: Float32) -> Float32:
        return x + self.value

    def direction(self) -> NDArray[np.int8]:
        return np.ones(self.value.shape, np.int8)

    def select(self, channels: slice) -> Add:
        return Add(self.value[channels])


@dataclass(frozen=True)
class Mul:
    """x * value, value float32 [C]."""

    value: Float32

    def apply(self, x: Float32) -> Float32:
        return x * self.value

    def direction(self) -> NDArray[np.int8]:
        return np.sign(self.value).astype(np.int8)

    def select(self, channels: slice) -> Mul:
        return Mul(self.value[channels])


@dataclass(frozen=True)
class Div:
    """x / value, value float32 [C], no element 0."""

    value: Float32

    def apply(self, x: Float32) -> Float32:
        return x / self.value

    def direction(self) -> NDArray[np.int8]:
        return np.sign(self.value).astype(np.int8)

    def select(self, channels: slice) -> Div:
        return Div(self.value[channels])


@dataclass(frozen=True)
class PRelu:
    """x where x >= 0, slope * x below; slope float32 [C]."""

    slope: Float32

    def apply(self, x: Float32) -> Float32:
        return np.where(x < 0, x * self.slope, x)

    def direction(self) -> NDArray[np.int8] | None:
        return np.ones(self.slope.shape, np.int8) if (self.slope >= 0).all() else None

    def select(self, channels: slice) -> PRelu:
        return PRelu(self.slope[channels])


@dataclass(frozen=True)
class Clip:
    """x limited to [low, high]; float32 [C] each."""

    low: Float32
    high: Float32

    def apply(self, x: Float32) -> Float32:
        return np.minimum(np.maximum(x, self.low), self.high)

    def direction(self) -> NDArray[np.int8]:
        return np.ones(self.low.shape, np.int8)

    def select(self, channels: slice) -> Clip:
        return Clip(self.low[channels], self.high[channels])


def apply_all(steps: list[ChannelStep], x: Float32) -> Float32:
    """Runs a chain of steps on float32 [V, C]."""
    with np.errstate(all="ignore"):
        for step in steps:
            x = step.apply(x)
    return x


def direction_of(steps: list[ChannelStep], channels: int) -> NDArray[np.int8] | None:
    """The direction of the whole chain, or None if some step has none."""
    total = np.ones(channels, np.int8)
    for step in steps:
        one = step.direction()
        if one is None:
            return None
        total = (total * one).astype(np.int8)
    return total


def affine(steps: list[ChannelStep], channels: int) -> tuple[Float32, Float32] | None:
    """The chain as x * scale + bias (float32 [C] each), or None if it is not affine.

    Exact for one batch-norm. A longer chain is composed in double and rounded
    once, where the network rounds at every step.
    """
    if len(steps) == 1 and isinstance(steps[0], BatchNorm):
        return steps[0].alpha, steps[0].beta
    scale: Float64 = np.ones(channels)
    bias: Float64 = np.zeros(channels)
    for step in steps:
        match step:
            case BatchNorm():
                scale, bias = scale * step.alpha, bias * step.alpha + step.beta
            case Add():
                bias = bias + step.value
            case Mul():
                scale, bias = scale * step.value, bias * step.value
            case Div():
                scale, bias = scale / step.value, bias / step.value
            case _:
                return None
    return scale.astype(np.float32), bias.astype(np.float32)
