"""Sign activations: stochastic for training, fixed for deployment."""

from __future__ import annotations

from torch import Tensor, nn

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.estimator import Forward, check_forward, sign, straight_through
from sbn_deploy.nn.noise import Noise


class Sign(nn.Module):
    """Elementwise sign with sign(0) = +1, for inference; it has no gradient."""

    def forward(self, a: Tensor) -> Tensor:
        return sign(a)


class StochasticSign(nn.Module):
    """x = sign(a - z), z drawn from `noise`, with backward factor 2p(a).

    With `train_forward="deterministic"` this is the usual sign activation whose
    surrogate gradient is the slope of the noise (tanh for logistic, hard-tanh
    for uniform, approx-sign for triangular).

    Args:
        noise: a noise or its name.
        train_forward: how units are evaluated in training mode.
        eval_forward: how units are evaluated in evaluation mode.

    Raises:
        ConfigError: unknown noise or forward.
    """

    def __init__(
        self,
        noise: str | Noise = "logistic",
        *,
        train_forward: Forward = "sampled",
        eval_forward: Forward = "deterministic",
    ) -> None:
        super().__init__()
        self.noise = noises.get(noise)
        self.train_forward = check_forward(train_forward)
        self.eval_forward = check_forward(eval_forward)

    def forward(self, a: Tensor) -> Tensor:
        return straight_through(
            a, self.noise, self.train_forward if self.training else self.eval_forward
        )

    def fixed(self) -> Sign:
        """The deterministic activation that replaces this one in a materialised network."""
        return Sign()

    def extra_repr(self) -> str:
        return f"{self.noise.name}, train={self.train_forward}, eval={self.eval_forward}"
