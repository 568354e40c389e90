"""Sign activations: stochastic or with surrogate gradients for training, fixed for deployment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn import surrogate as surrogates
from sbn_deploy.nn.estimator import Forward, check_forward, sign, straight_through, unrecorded_sign
from sbn_deploy.nn.noise import Noise
from sbn_deploy.nn.surrogate import Surrogate
from sbn_runtime.errors import ConfigError

Unit = Callable[[Tensor, Noise, Forward], Tensor]
"""A stochastic sign with a gradient, of pre-activations of any shape."""


class Sign(nn.Module):
    """Elementwise sign with sign(0) = +1, for inference; it has no gradient."""

    def forward(self, a: Tensor) -> Tensor:
        return sign(a)


class SignActivation(nn.Module):
    """What the training activations share: a temperature, and their fixed form.

    Args:
        temperature: T > 0; the activation sees a / T.
        learnable: train log T, a parameter `log_temperature` (a scalar).

    Raises:
        ConfigError: the temperature is not positive and finite.
    """

    def __init__(self, temperature: float, learnable: bool) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ConfigError(f"temperature is {temperature}; it must be positive and finite")
        self.fixed_temperature = float(temperature)
        self.log_temperature = (
            nn.Parameter(torch.tensor(math.log(temperature))) if learnable else None
        )

    def scaled(self, a: Tensor) -> Tensor:
        """a / T."""
        if self.log_temperature is not None:
            return a * torch.exp(-self.log_temperature).to(a.dtype)
        return a if self.fixed_temperature == 1 else a / self.fixed_temperature

    def fixed(self) -> Sign:
        """The deterministic activation that replaces this one in a materialised network."""
        return Sign()

    def _describe(self) -> str:
        learnable = ", learnable" if self.log_temperature is not None else ""
        return f"temperature={self.fixed_temperature:g}{learnable}"


class StochasticSign(SignActivation):
    """x = sign(a - T z), z sampled from `noise`, with backward factor 2p(a / T) / T.

    With `train_forward="deterministic"` this is the usual sign activation whose
    surrogate gradient is the slope of the noise (tanh for logistic, hard-tanh
    for uniform, approx-sign for triangular); see `DeterministicSign` for others.

    Args:
        noise: a noise or its name.
        train_forward: how units are evaluated in training mode.
        eval_forward: how units are evaluated in evaluation mode.
        temperature: T > 0, the size of the noise.
        learnable: train log T.

    Attributes:
        unit: its value and gradient in training: straight-through, or what
            `sbn_deploy.nn.unit_estimators.set_estimator` put there.

    Raises:
        ConfigError: unknown noise or forward, or a temperature out of range.
    """

    def __init__(
        self,
        noise: str | Noise = "logistic",
        *,
        train_forward: Forward = "sampled",
        eval_forward: Forward = "deterministic",
        temperature: float = 1.0,
        learnable: bool = False,
    ) -> None:
        super().__init__(temperature, learnable)
        self.noise = noises.get(noise)
        self.train_forward = check_forward(train_forward)
        self.eval_forward = check_forward(eval_forward)
        self.unit: Unit = straight_through

    def forward(self, a: Tensor) -> Tensor:
        if self.training:
            return self.unit(self.scaled(a), self.noise, self.train_forward)
        return straight_through(self.scaled(a), self.noise, self.eval_forward)

    def extra_repr(self) -> str:
        return (
            f"{self.noise.name}, train={self.train_forward}, eval={self.eval_forward}, "
            f"{self._describe()}"
        )


class _SurrogateSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(a)
        ctx.surrogate = surrogate
        return unrecorded_sign(a) if ctx.needs_input_grad[0] else sign(a)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.slope(a), None


class DeterministicSign(SignActivation):
    """x = sign(a) with a surrogate gradient; no noise in training either.

    Args:
        surrogate: a surrogate or its name, see `sbn_deploy.nn.surrogate`.
        temperature: T > 0; gradients are multiplied by slope(a / T) / T.
        learnable: train log T.

    Raises:
        ConfigError: unknown surrogate, or a temperature out of range.
    """

    def __init__(
        self,
        surrogate: str | Surrogate = "tanh",
        *,
        temperature: float = 1.0,
        learnable: bool = False,
    ) -> None:
        super().__init__(temperature, learnable)
        self.surrogate = surrogates.get(surrogate)

    def forward(self, a: Tensor) -> Tensor:
        x = _SurrogateSign.apply(self.scaled(a), self.surrogate)  # type: ignore[no-untyped-call]
        return cast(Tensor, x)

    def extra_repr(self) -> str:
        return f"{self.surrogate.name}, {self._describe()}"
