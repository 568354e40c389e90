"""A range test of learning rates (Smith, arXiv 1506.01186): steps at rates that rise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sbn_deploy.nn.threads import threads
from sbn_deploy.train import state
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import ranks
from sbn_deploy.train.loop import own_generators
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.progress import progress
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.errors import ConfigError

LOWEST, HIGHEST = 1e-3, 1e2
"""Factors of the recipe's learning rates, the first and the last."""
STEPS = 100
SMOOTHING = 0.9
"""Of the running mean of losses."""
ENOUGH = 3.0
"""The test ends where the loss is that many times the least one."""
SHOWN = 12


@dataclass(frozen=True)
class Row:
    """A step: the factor of all rates, and the running mean of the loss."""

    factor: float
    loss: float


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rows: a step each.
        rates: the recipe's learning rates by their names.
        factor: at which the loss falls fastest.
        suggested: the rates times this factor.
    """

    rows: list[Row]
    rates: dict[str, float]
    factor: float
    suggested: dict[str, float]

    def shown(self) -> list[Row]:
        """Some of the rows, evenly spaced."""
        last = len(self.rows) - 1
        count = min(SHOWN, len(self.rows))
        return [self.rows[round(index * last / max(1, count - 1))] for index in range(count)]


def range_test(config: TrainConfig) -> RangeTest:
    """Takes `STEPS` steps, each at higher rates, until the loss grows or is not finite.

    Nothing is written. Raises what `train` raises before it trains.
    """
    with threads(config.threads), ranks(config) as group, own_generators(group):
        if group.count > 1:
            raise ConfigError("the range test needs a single process; start it without torchrun")
        ready = prepare(config)
        trainer = Trainer(ready.built.module, ready.head, ready.images, None, ready.config, group)
        rows: list[Row] = []
        mean, least = 0.0, math.inf
        with progress("range test", STEPS) as report:
            for step in range(STEPS):
                factor = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
                trainer.schedule = lambda _, factor=factor: factor  # type: ignore[misc]
                trainer.position = state.Position(*divmod(step, trainer.steps))
                try:
                    loss, _ = trainer.step()
                except ConfigError:  # no longer finite
                    break
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                smooth = mean / (1 - SMOOTHING ** (step + 1))
                rows.append(Row(factor, smooth))
                report(f"factor {factor:.3g} loss {smooth:.4g}")
                least = min(least, smooth)
                if smooth > ENOUGH * least:
                    break
    if len(rows) < 3:
        raise ConfigError(
            "the loss is not finite even at a thousandth of the learning rates; check the inputs"
            " and the network"
        )
    best = steepest(rows)
    rates = {name: getattr(config, name) for name in ("latent_lr", "weight_lr", "step")}
    return RangeTest(rows, rates, best, {name: rate * best for name, rate in rates.items()})


def steepest(rows: Sequence[Row]) -> float:
    """The factor before the least loss at which it falls fastest with the factor's logarithm."""
    losses = torch.tensor([row.loss for row in rows], dtype=torch.float64)
    lowest = max(2, int(losses.argmin()) + 1)
    (slopes,) = torch.gradient(losses[:lowest])
    return rows[int(slopes.argmin())].factor
