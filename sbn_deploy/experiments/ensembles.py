"""Averages over networks of several seeds, against averages over samples of one network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from sbn_deploy import data, tasks
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import set_eval_forward
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.evaluation import answers
from sbn_deploy.train.head import Head
from sbn_deploy.train.loop import CHECKPOINT
from sbn_deploy.train.seeds import half_width, train_seeds

NETWORKS = "networks"
SAMPLED = "networks, weights sampled"
WEIGHTS = "weight samples"
NOISE = "noise samples"


@dataclass(frozen=True)
class Averaged:
    """The scores of an average over `count` networks.

    Attributes:
        kind: of what: thresholded networks of different seeds, one sample of the weights of
            each, or samples of the weights or the noise of a single network.
        count: how many.
        metric: key of the metric.
        values: one for each seed: of its network, or of `count` seeds from it on, in a circle.
        mean: of the values.
        half_width: of the 95 % confidence interval of the mean, by Student's t; None where
            values share networks, or there is one.
    """

    kind: str
    count: int
    metric: str
    values: tuple[float, ...]
    mean: float
    half_width: float | None


def average(
    base: TrainConfig, seeds: Sequence[int], *, report: Callable[[str], None] = lambda _: None
) -> list[Averaged]:
    """Trains a network with each seed, in `out`/seed-S, and scores averages of up to as many.

    What is there already is not trained again; an interrupted run goes on where it stopped.

    Raises what `sbn_deploy.experiments.compare` raises.
    """
    train_seeds(base, seeds, resume=True, report=report)
    report("scoring")
    parts = [_Parts(base, seed, len(seeds)) for seed in seeds]
    scores = parts[0].head.objective.scores
    found = []
    for count in range(1, len(seeds) + 1):
        circles = [[parts[(k + i) % len(parts)] for i in range(count)] for k in range(len(parts))]
        kinds = {
            NETWORKS: [_mean([part.thresholded for part in circle]) for circle in circles],
            SAMPLED: [_mean([part.weights[0] for part in circle]) for circle in circles],
            WEIGHTS: [_mean(part.weights[:count]) for part in parts],
            NOISE: [_mean(part.noise[:count]) for part in parts],
        }
        for kind, answered in kinds.items():
            scored = [scores(one.numpy(), parts[0].targets) for one in answered]
            shared = kind in (NETWORKS, SAMPLED) and count > 1
            for metric in (metric.key for metric in parts[0].head.objective.metrics):
                values = tuple(one[metric] for one in scored)
                width = None if shared else half_width(values)
                found.append(Averaged(kind, count, metric, values, fmean(values), width))
    return found


class _Parts:
    """What one trained network answers to the test images in each form, float32 [N, ...] each."""

    def __init__(self, config: TrainConfig, seed: int, count: int) -> None:
        path = config.out / f"seed-{seed}" / CHECKPOINT
        model, header, kept = checkpoint.load_all(path)
        images = data.load(config.data, "test", data.ImageForm.of(header.preprocess))
        if config.task:
            images = images.for_task(config.task)
        inputs, self.targets = torch.from_numpy(images.inputs()), images.labels
        self.head = Head.of(lambda: model(inputs[:2]), tasks.find(header.task))
        calibration = None
        if kept.calibration is not None:
            known = header.preprocess.apply(kept.calibration)  # type: ignore[arg-type]
            calibration = torch.from_numpy(known)

        def answered(members: Sequence[torch.nn.Module]) -> Iterator[Tensor]:
            return (answers([member], inputs, self.head) for member in members)

        (self.thresholded,) = answered(materialize(model, calibration=calibration))
        sampled = materialize(
            model, weights="sample", members=count, seed=seed, calibration=calibration
        )
        self.weights = list(answered(sampled))
        noisy = copy.deepcopy(model)
        set_eval_forward(noisy, activations="sampled")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.noise = list(answered([noisy] * count))


def _mean(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).mean(0)
