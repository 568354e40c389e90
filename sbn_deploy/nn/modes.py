"""Settings of all stochastic units of a network at once."""

from __future__ import annotations

import torch
from torch import nn

from sbn_deploy.nn.activation import StochasticSign
from sbn_deploy.nn.binary import BinaryLayer
from sbn_deploy.nn.estimator import Forward, check_forward


def set_train_forward(
    model: nn.Module, *, activations: Forward | None = None, weights: Forward | None = None
) -> None:
    """Choose how units are evaluated in training from now on; None leaves them.

    Switching activations from "sampled" to "deterministic" for the last epochs
    lets batch-norm and weights adapt to noiseless use.

    Raises:
        ConfigError: unknown forward.
    """
    _set(model, "train_forward", activations, weights)


def set_eval_forward(
    model: nn.Module, *, activations: Forward | None = None, weights: Forward | None = None
) -> None:
    """Choose how units are evaluated in evaluation mode from now on; None leaves them.

    Raises:
        ConfigError: unknown forward.
    """
    _set(model, "eval_forward", activations, weights)


def set_weight_generator(model: nn.Module, generator: torch.Generator | None) -> None:
    """Choose where all layers sample their weights with; None is torch's default generator."""
    for module in model.modules():
        if isinstance(module, BinaryLayer):
            module.generator = generator


def _set(model: nn.Module, name: str, activations: Forward | None, weights: Forward | None) -> None:
    for module in model.modules():
        if activations is not None and isinstance(module, StochasticSign):
            setattr(module, name, check_forward(activations))
        if weights is not None and isinstance(module, BinaryLayer):
            setattr(module, name, check_forward(weights))
