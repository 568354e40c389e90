"""What is compared in each experiment."""

from __future__ import annotations

from typing import Any

from sbn_deploy.nn.unit_estimators import NAMES

from .comparison import Variant

DEFAULTS: tuple[str, ...] = ("arch=digits-cnn", "model.width=16", "epochs=10")
"""Settings where no recipe is given: a network that trains in seconds."""

VARIANTS = tuple(Variant(name, {"estimator": name}) for name in NAMES)
"""Straight-through and its relatives: forward and backward of activations in training."""

_OPTIMIZERS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "mirror": ({}, (0.1, 1, 10)),
    "projected": (
        {"optimizer": "projected", "model": {"weight_noise": "uniform", "init_std": 0.5}},
        (0.03, 0.3, 3),
    ),
    "proxy": ({"model": {"weight_gradient": "proxy", "init_std": 0.5}}, (0.03, 0.3, 3)),
    "bop": ({"optimizer": "bop", "weights": "deterministic"}, (1e-4, 1e-3, 1e-2)),
}

DESCENT = tuple(
    Variant(f"{name}-{rate:g}", settings | {"latent_lr": rate}, group=name, at=rate)
    for name, (settings, rates) in _OPTIMIZERS.items()
    for rate in rates
)
"""Optimisers of the latents, each at three learning rates."""
