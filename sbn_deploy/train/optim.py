"""Optimisers on latent weights.

With the identity straight-through estimator the gradient g of a latent eta
estimates the gradient with respect to the mean mu = 2F(eta) - 1. Mirror descent
on mu whose mirror map is the quantile function of the weight noise is then the
plain update eta <- eta - step * g. For logistic noise it solves

    argmin_theta  <g, 2 theta - 1> + KL(theta, theta_t) / step,

theta = F(eta) being the Bernoulli probabilities: exponentiated gradient.
The step lives on the scale of eta, so steps near one are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sbn_deploy.nn import BinaryLayer
from sbn_runtime.errors import ConfigError

Moments = Literal["adam", "sgd"]


class MirrorDescent(Optimizer):
    """Mirror descent on Bernoulli weights, in the coordinates of their latents.

    Args:
        latents: latent parameters, or parameter groups of them.
        lr: step on the latents, > 0.
        moments: "adam" divides a running mean of the gradients by the root of
            a running mean of their squares; "sgd" adds up plain gradients.
        betas: decay of the first and second moment, each in [0, 1). "sgd" uses
            the first as its momentum, eta <- eta - lr * v with v = beta v + g.
        eps: added to the denominator of "adam", > 0.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        latents: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1.0,
        moments: Moments = "adam",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if moments not in get_args(Moments):
            raise ConfigError(
                f"moments is {moments!r}; it must be one of {', '.join(get_args(Moments))}"
            )
        if not lr > 0 or not eps > 0 or not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(
                "mirror descent needs lr > 0, eps > 0 and betas in [0, 1); "
                f"got lr={lr}, eps={eps}, betas={betas}"
            )
        super().__init__(latents, {"lr": lr, "moments": moments, "betas": betas, "eps": eps})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the latents from their gradients; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._adam if group["moments"] == "adam" else self._sgd
            for latent in group["params"]:
                if latent.grad is not None:
                    update(latent, latent.grad, self.state[latent], group)
        return loss

    @staticmethod
    def _sgd(latent: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        momentum = group["betas"][0]
        if momentum:
            if not state:
                state["velocity"] = torch.zeros_like(latent)
            grad = state["velocity"].mul_(momentum).add_(grad)
        latent.sub_(grad, alpha=group["lr"])

    @staticmethod
    def _adam(latent: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(latent)
            state["square"] = torch.zeros_like(latent)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["mean"].lerp_(grad, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        # Both moments start at zero; the corrections undo that bias.
        correction1 = 1 - beta1 ** state["step"]
        correction2 = 1 - beta2 ** state["step"]
        denominator = (square / correction2).sqrt_().add_(group["eps"])
        latent.addcdiv_(mean, denominator, value=-group["lr"] / correction1)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(latents, all other parameters), each in the order of the model."""
    latents = [module.latent for module in model.modules() if isinstance(module, BinaryLayer)]
    known = {id(latent) for latent in latents}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return latents, others
