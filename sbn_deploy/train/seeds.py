"""The same recipe with several seeds, and how the scores vary."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev

from sbn_deploy.tasks import Metric, find
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.evaluation import Answer, in_torch
from sbn_deploy.train.loop import TrainResult, train
from sbn_runtime.files import write_atomically

SEEDS = "seeds.json"


@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        weights: the form of the network, as in `metrics.json`.
        metric: key of the metric.
        values: one for each seed.
        mean: of the values.
        half_width: of the 95 % confidence interval of the mean, by Student's t; None of one seed.
    """

    weights: str
    metric: str
    values: tuple[float, ...]
    mean: float
    half_width: float | None


def train_seeds(
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
    answer: Answer = in_torch,
) -> list[Spread]:
    """Trains with each seed, in `out`/seed-S, and writes `seeds.json` with the scores.

    The arguments are those of `train`, as is what is raised.
    """
    results = []
    for number, seed in enumerate(seeds, 1):
        report(f"seed {seed}, {number} of {len(seeds)}")
        one = config.model_copy(update={"seed": seed, "out": config.out / f"seed-{seed}"})
        # Describe the training once.
        said = report if number == 1 else None
        results.append(train(one, resume=resume, overwrite=overwrite, report=said, answer=answer))
    found = spreads(results)
    content = {"seeds": list(seeds), "scores": [asdict(entry) for entry in found]}
    write_atomically(config.out / SEEDS, (json.dumps(content, indent=2) + "\n").encode())
    return found


def spreads(results: Sequence[TrainResult]) -> list[Spread]:
    """Each metric of each form of the network over runs that differ in the seed."""
    metrics: tuple[Metric, ...] = find(results[0].metrics["task"]).metrics
    found = []
    for weights in results[0].metrics["metrics"]:
        for metric in metrics:
            values = tuple(result.metrics["metrics"][weights][metric.key] for result in results)
            found.append(Spread(weights, metric.key, values, fmean(values), half_width(values)))
    return found


def half_width(values: Sequence[float]) -> float | None:
    """Of the 95 % confidence interval of a mean, t(0.975, n - 1) s / √n; None of one value."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
