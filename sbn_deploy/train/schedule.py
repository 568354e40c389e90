"""How learning rates change over training."""

from __future__ import annotations

import math

from sbn_deploy.train.config import TrainConfig


def factor(config: TrainConfig, step: int, steps: int) -> float:
    """What all steps are multiplied with, in [0, 1].

    Args:
        step: steps taken so far.
        steps: steps in one epoch.
    """
    warmup = config.warmup * steps
    if step < warmup:
        return (step + 1) / warmup
    match config.schedule:
        case "cosine":
            share = (step - warmup) / (config.epochs * steps - warmup)
            return 0.5 + 0.5 * math.cos(math.pi * share)
        case "step":
            passed = sum(step >= milestone * steps for milestone in config.milestones)
            return config.step_factor**passed
        case "constant":
            return 1.0
