"""Noises of the stochastic sign, x = sign(a - z) with z sampled from the noise.

A noise with cdf F and density p gives P(x = +1 | a) = F(a), the mean
m(a) = E[x | a] = 2F(a) - 1 and its derivative, the slope, m'(a) = 2p(a)
(Shekhovtsov and Yanush, arXiv 2006.06880). The slope is what the straight-through
estimator multiplies gradients by, so choosing the noise chooses the surrogate
gradient. Every noise is symmetric and scaled so that its slope at 0 is one.

A new noise is a subclass with three formulas; its name registers it:

    class Cauchy(Noise, name="cauchy"):
        def cdf(self, a): return 0.5 + torch.atan(a * math.pi / 2) / math.pi
        def density(self, a): return 0.5 / (1 + (a * math.pi / 2) ** 2)
        def quantile(self, u): return torch.tan(math.pi * (u - 0.5)) * 2 / math.pi
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sbn_deploy.names import Registry


class Noise(ABC):
    """A symmetric distribution on the reals with density 1/2 at zero.

    Methods act elementwise on floating-point tensors of any shape and keep
    shape and dtype. Noises hold no state: two of one class are equal.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, *, name: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _REGISTRY.register(name, cls)
        cls.name = name

    @abstractmethod
    def cdf(self, a: Tensor) -> Tensor:
        """F(a) = P(z <= a), in [0, 1]."""

    @abstractmethod
    def density(self, a: Tensor) -> Tensor:
        """p(a) = F'(a); p(0) = 1/2."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """The a with F(a) = u, for u in (0, 1)."""

    def mean(self, a: Tensor) -> Tensor:
        """m(a) = E[sign(a - z)] = 2F(a) - 1, in [-1, 1]."""
        return 2 * self.cdf(a) - 1

    def slope(self, a: Tensor) -> Tensor:
        """m'(a) = 2p(a), the straight-through factor; 1 at zero."""
        return 2 * self.density(a)

    def mean_and_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """(m(a), m'(a)); override where one is cheap given the other."""
        return self.mean(a), self.slope(a)

    def sample(
        self,
        shape: Sequence[int],
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """Independent finite samples of z, shape `shape`, from `generator` or torch's default."""
        u = torch.rand(tuple(shape), generator=generator, dtype=dtype, device=device)
        return self.quantile(u.clamp_min_(torch.finfo(dtype).eps / 2))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


_REGISTRY: Registry[type[Noise]] = Registry("a noise")


def names() -> tuple[str, ...]:
    """Names of all registered noises, in order of registration."""
    return tuple(_REGISTRY)


def get(noise: str | Noise) -> Noise:
    """The noise of that name (a noise passes through).

    Raises:
        ConfigError: no noise has that name.
    """
    if isinstance(noise, Noise):
        return noise
    return _REGISTRY.find(noise)()


class Logistic(Noise, name="logistic"):
    """F(a) = 1 / (1 + exp(-2a)); m = tanh, the tanh surrogate."""

    def cdf(self, a: Tensor) -> Tensor:
        return torch.sigmoid(2 * a)

    def density(self, a: Tensor) -> Tensor:
        return 0.5 * self.slope(a)

    def quantile(self, u: Tensor) -> Tensor:
        return 0.5 * torch.logit(u)

    def mean(self, a: Tensor) -> Tensor:
        return torch.tanh(a)

    def slope(self, a: Tensor) -> Tensor:
        return 1 - torch.tanh(a).square()

    def mean_and_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        # In float32, where torch's tanh takes a fifth of the time that it does in bfloat16.
        mean = torch.tanh(a.to(torch.promote_types(a.dtype, torch.float32)))
        slope = torch.addcmul(mean.new_ones(()), mean, mean, value=-1)
        return mean.to(a.dtype), slope.to(a.dtype)


class Uniform(Noise, name="uniform"):
    """Uniform on [-1, 1]; m(a) = clip(a, -1, 1), the hard-tanh surrogate."""

    def cdf(self, a: Tensor) -> Tensor:
        return 0.5 * (1 + self.mean(a))

    def density(self, a: Tensor) -> Tensor:
        return 0.5 * (a.abs() < 1).to(a.dtype)

    def quantile(self, u: Tensor) -> Tensor:
        return 2 * u - 1

    def mean(self, a: Tensor) -> Tensor:
        return a.clamp(-1, 1)


class Triangular(Noise, name="triangular"):
    """Triangular on [-2, 2]; the piecewise-quadratic "approx-sign" surrogate."""

    def cdf(self, a: Tensor) -> Tensor:
        return 0.5 * (1 + self.mean(a))

    def density(self, a: Tensor) -> Tensor:
        return 0.5 * (1 - 0.5 * a.abs()).clamp_min(0)

    def quantile(self, u: Tensor) -> Tensor:
        tail = 2 - (8 * torch.minimum(u, 1 - u)).sqrt()
        return torch.where(u < 0.5, -tail, tail)

    def mean(self, a: Tensor) -> Tensor:
        b = a.clamp(-2, 2)
        return b - 0.25 * b * b.abs()


class Normal(Noise, name="normal"):
    """Normal with standard deviation sqrt(2/pi); m is an error function."""

    sigma: ClassVar[float] = math.sqrt(2 / math.pi)

    def cdf(self, a: Tensor) -> Tensor:
        probability: Tensor = torch.special.ndtr(a / self.sigma)
        return probability

    def density(self, a: Tensor) -> Tensor:
        return 0.5 * torch.exp(-0.5 * (a / self.sigma).square())

    def quantile(self, u: Tensor) -> Tensor:
        standard: Tensor = torch.special.ndtri(u)
        return self.sigma * standard

    def mean(self, a: Tensor) -> Tensor:
        return torch.erf(a / (self.sigma * math.sqrt(2)))


class Laplace(Noise, name="laplace"):
    """Laplace of scale one; m(a) = sign(a) (1 - exp(-|a|))."""

    def cdf(self, a: Tensor) -> Tensor:
        tail = 0.5 * torch.exp(-a.abs())
        return torch.where(a < 0, tail, 1 - tail)

    def density(self, a: Tensor) -> Tensor:
        return 0.5 * torch.exp(-a.abs())

    def quantile(self, u: Tensor) -> Tensor:
        size = -torch.log(2 * torch.minimum(u, 1 - u))
        return torch.where(u < 0.5, -size, size)

    def mean(self, a: Tensor) -> Tensor:
        return -torch.sign(a) * torch.expm1(-a.abs())
