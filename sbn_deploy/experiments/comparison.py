"""Recipes that differ in a few settings, each trained with the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.seeds import Spread, train_seeds


@dataclass(frozen=True)
class Variant:
    """One of the recipes that are compared.

    Attributes:
        name: also of its folder.
        settings: what it changes in the recipe; settings of the network under `model`.
        group, at: of a figure: the line that it belongs to, and where on the axis; empty and
            None where each variant stands for itself.
    """

    name: str
    settings: dict[str, Any]
    group: str = ""
    at: float | None = None

    def of(self, base: TrainConfig) -> TrainConfig:
        """The recipe. Raises ConfigError where its settings contradict those of `base`."""
        settings = base.model_dump(exclude_unset=True)
        model = settings.get("model", {}) | self.settings.get("model", {})
        return TrainConfig(**(settings | self.settings | {"model": model, "out": self.out(base)}))

    def out(self, base: TrainConfig) -> Path:
        """Its folder."""
        return base.out / self.name


@dataclass(frozen=True)
class Compared:
    """The scores of a variant on the test images: each metric of each form of the network."""

    variant: Variant
    scores: tuple[Spread, ...]

    def score(self, weights: str, metric: str) -> Spread:
        """The scores of one form of the network by one metric."""
        return next(s for s in self.scores if (s.weights, s.metric) == (weights, metric))


def compare(
    base: TrainConfig,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> list[Compared]:
    """Trains every variant with every seed, in `out`/VARIANT/seed-S, but for what is there already.

    An interrupted run goes on where it stopped.

    Args:
        report: is told what is trained next.

    Raises:
        ConfigError: settings that contradict each other, or a folder that holds runs with others.
        Stopped: SIGTERM or Ctrl-C came; the state is saved.
    """
    # All of them are checked before the first is trained.
    recipes = [variant.of(base) for variant in variants]
    found = []
    for number, (variant, recipe) in enumerate(zip(variants, recipes, strict=True), 1):
        report(f"{variant.name}, {number} of {len(variants)}")
        # What is trained and on what is said once.
        said = report if number == 1 else lambda _: None
        scores = train_seeds(recipe, seeds, resume=True, report=said)
        found.append(Compared(variant, tuple(scores)))
    return found
