"""What optimisers of latents share: the direction of a step, from Adam or momentum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypedDict, get_args, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from sbn_runtime.errors import ConfigError

Moments = Literal["adam", "sgd"]
Latents = Iterable[Tensor] | Iterable[dict[str, Any]]


class MomentOptions(TypedDict, total=False):
    """Keyword arguments of every `MomentOptimizer` besides the learning rate."""

    moments: Moments
    betas: tuple[float, float]
    eps: float


class LatentOptimizer(Optimizer):
    """An optimiser that visits every latent with a gradient; subclasses say what to do with it.

    Gradients must be dense. `state_dict`, parameter groups and schedulers work
    as with any torch optimiser.
    """

    def __init__(self, latents: Latents, defaults: dict[str, Any]) -> None:
        super().__init__(latents, defaults)
        for group in self.param_groups:
            self.check(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group; its options are checked like the others."""
        super().add_param_group(param_group)
        self.check(self.param_groups[-1])

    def check(self, group: dict[str, Any]) -> None:
        """Raises ConfigError where an option of a group is out of range."""
        if not group["lr"] > 0:
            raise ConfigError(f"{type(self).__name__} needs lr > 0; got {group['lr']}")

    @abstractmethod
    def update(self, latent: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Changes one latent in place, from its gradient."""

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
            for latent in group["params"]:
                if latent.grad is not None:
                    self.update(latent, self.state[latent], group)
        return loss


class MomentOptimizer(LatentOptimizer):
    """Takes steps along the moments of the gradient.

    Args:
        latents: latent parameters, or parameter groups of them.
        lr: learning rate of the latents, > 0.
        moments: "adam" divides a running mean of the gradients by the root of
            a running mean of their squares; "sgd" adds up plain gradients.
        betas: decay of the first and second moment, each in [0, 1). "sgd" uses
            the first as its momentum, v = beta v + g.
        eps: added to the denominator of "adam", > 0.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        latents: Latents,
        *,
        lr: float = 1.0,
        moments: Moments = "adam",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **options: Any,
    ) -> None:
        defaults = {"lr": lr, "moments": moments, "betas": betas, "eps": eps}
        super().__init__(latents, defaults | options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if group["moments"] not in get_args(Moments):
            raise ConfigError(
                f"moments is {group['moments']!r}; it must be one of {', '.join(get_args(Moments))}"
            )
        if not group["eps"] > 0 or not all(0 <= beta < 1 for beta in group["betas"]):
            raise ConfigError(
                f"{type(self).__name__} needs eps > 0 and betas in [0, 1); "
                f"got eps={group['eps']}, betas={group['betas']}"
            )

    @staticmethod
    def descend(latent: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """latent <- latent - lr * direction."""
        grad = latent.grad
        assert grad is not None  # `step` leaves the others out
        if group["moments"] == "sgd":
            if momentum := group["betas"][0]:
                if not state:
                    state["velocity"] = torch.zeros_like(latent)
                grad = state["velocity"].mul_(momentum).add_(grad)
            latent.sub_(grad, alpha=group["lr"])
            return
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
