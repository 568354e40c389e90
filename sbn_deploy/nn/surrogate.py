"""Surrogate gradients of the deterministic sign, as used in practice.

Each replaces the derivative of sign(a). Where a surrogate is the slope 2p(a) of a
noise, up to a scale c of its argument and its values, training with it is the
straight-through estimator of that noise evaluated at the mode; `noise` names it.
If it is not a density, no noise corresponds to it, and `noise` is None.

A new surrogate is a subclass with one formula; its name registers it:

    class Cosine(Surrogate, name="cosine"):
        def slope(self, a): return torch.cos(a.clamp(-math.pi / 2, math.pi / 2))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sbn_deploy.names import Registry
from sbn_deploy.nn import noise as noises


class Surrogate(ABC):
    """A stand-in for the derivative of sign(a).

    Attributes:
        noise: the noise whose slope this is, or None.
        scale: c with slope(a) = c * noise.slope(c * a); 1 for most.
    """

    name: ClassVar[str]
    noise: ClassVar[str | None] = None
    scale: ClassVar[float] = 1.0

    def __init_subclass__(cls, *, name: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _REGISTRY.register(name, cls)
        cls.name = name

    @abstractmethod
    def slope(self, a: Tensor) -> Tensor:
        """What gradients are multiplied with, elementwise; keeps shape and dtype."""


_REGISTRY: Registry[type[Surrogate]] = Registry("a surrogate")


def names() -> tuple[str, ...]:
    """Names of all registered surrogates, in order of registration."""
    return tuple(_REGISTRY)


def get(surrogate: str | Surrogate) -> Surrogate:
    """The surrogate of that name (a surrogate passes through).

    Raises:
        ConfigError: no surrogate has that name.
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    return _REGISTRY.find(surrogate)()


class Identity(Surrogate, name="identity"):
    """1 everywhere. Corresponds to no noise, because a constant is not a density."""

    def slope(self, a: Tensor) -> Tensor:
        return torch.ones_like(a)


class HardTanh(Surrogate, name="hard-tanh"):
    """1 for |a| < 1, else 0: uniform noise (Hubara et al., arXiv 1602.02830)."""

    noise = "uniform"

    def slope(self, a: Tensor) -> Tensor:
        return noises.get("uniform").slope(a)


class Tanh(Surrogate, name="tanh"):
    """1 - tanh(a)^2: logistic noise."""

    noise = "logistic"

    def slope(self, a: Tensor) -> Tensor:
        return noises.get("logistic").slope(a)


class ApproxSign(Surrogate, name="approx-sign"):
    """max(0, 2 - 2|a|): triangular noise at half its width (Bi-Real Net, arXiv 1808.00278)."""

    noise = "triangular"
    scale = 2.0

    def slope(self, a: Tensor) -> Tensor:
        return (2 - 2 * a.abs()).clamp_min(0)


class SwishSign(Surrogate, name="swish-sign"):
    """beta (2 - beta a tanh(beta a / 2)) / (1 + cosh(beta a)), beta = 5 (arXiv 1812.11800).

    Negative for |a| above 0.48: no density, hence no noise.
    """

    beta: ClassVar[float] = 5.0

    def slope(self, a: Tensor) -> Tensor:
        b = self.beta * a
        # 1 / (1 + cosh b) = 2 s (1 - s) with s = sigmoid(b), which does not overflow.
        s = torch.sigmoid(b)
        return 2 * self.beta * s * (1 - s) * (2 - b * torch.tanh(b / 2))
