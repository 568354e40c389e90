"""How good each estimator is on a family of networks.

Errors are relative to the norm of the true gradient of the layer, so that 1 is the
error of estimating the gradient as zero:

    bias     |E[g] - g*| / |g*|
    variance tr Cov[g] / |g*|^2, of a single estimate
    cosine   between E[g] and g*
    error    sqrt(bias^2 + variance), the relative root-mean-square error

Averaging n estimates divides the variance by n and leaves the bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from sbn_deploy.nn import noise as noises

from .base import Estimator
from .exact import MAX_WIDTH, exact_gradient
from .moments import Moments, average
from .network import LOSSES, Problem, random_problem
from .score import Arm, Reinforce

HIDDEN = "hidden"
"""The layer name of all hidden layers taken together."""

PILOT = 2000
"""Samples that decide which unbiased estimator gives the reference."""


@dataclass(frozen=True)
class Reference:
    """The true gradient, or an unbiased estimate of it.

    Args:
        moments: its mean is the gradient; its squared error is 0 if exact.
        method: "enumeration", or the estimator and the number of samples.
    """

    moments: Moments
    method: str


@dataclass(frozen=True)
class Score:
    """The errors of one estimator in one layer, relative as in the module's text.

    Args:
        estimator: its name.
        layer: "1", "2", ... for hidden layers, "output", or "hidden" for all hidden ones.
        uncertainty: standard error of the means that `bias` compares, relative to the
            gradient; 0 if all is exact. A bias below it cannot be distinguished from zero.
    """

    estimator: str
    layer: str
    bias: float
    variance: float
    cosine: float
    error: float
    uncertainty: float

    def error_of_mean(self, samples: float) -> float:
        """Relative root-mean-square error of the mean of that many estimates."""
        return math.sqrt(self.bias**2 + self.variance / samples)


@dataclass(frozen=True)
class Setting:
    """A family of random problems; see `random_problem`."""

    dims: tuple[int, ...] = (6, 5, 4, 1)
    noise: str = "logistic"
    loss: str = "logistic"
    gain: float = 1.0

    def problem(self, seed: int) -> Problem:
        """The problem of that seed."""
        return random_problem(
            self.dims, seed=seed, gain=self.gain, noise=self.noise, loss=self.loss
        )


@dataclass(frozen=True)
class Budget:
    """How much is spent on what cannot be enumerated.

    Args:
        networks: random networks a setting; scores are medians over them.
        samples: of an estimator that is not enumerated, from 2 up.
        reference: samples of the unbiased reference where the network is too wide
            for the exact gradient, from 2 up.
        seed: seed of networks and samples.
    """

    networks: int = 10
    samples: int = 10_000
    reference: int = 200_000
    seed: int = 0


def reference(problems: Sequence[Problem], samples: int, generator: torch.Generator) -> Reference:
    """The gradient of the mean loss of `problems`, examples of one network.

    Exact for hidden layers of up to `MAX_WIDTH` units, else the mean of `samples`
    draws an example of ARM or REINFORCE, whichever varies less in a pilot run.
    """
    if max(problems[0].network.hidden) <= MAX_WIDTH:
        moments = average(
            Moments(tuple(gradient), (0.0,) * len(gradient), None)
            for gradient in map(exact_gradient, problems)
        )
        return Reference(moments, "enumeration")

    def pilot(estimator: Estimator) -> float:
        return sum(estimator.sampled_moments(problems[0], PILOT, generator).variance)

    chosen = min((Arm(), Reinforce()), key=pilot)
    moments = average(chosen.sampled_moments(p, samples, generator) for p in problems)
    return Reference(moments, f"{chosen.name}, {samples} samples an example")


def score(estimator: str, found: Moments, truth: Moments) -> list[Score]:
    """Scores of each hidden layer, the output layer and all hidden layers."""
    layers = len(truth.mean)
    names = [str(layer + 1) for layer in range(layers - 1)]
    groups = [(name, [layer]) for layer, name in enumerate(names)]
    groups += [("output", [layers - 1]), (HIDDEN, list(range(layers - 1)))]
    scores = []
    for name, members in groups:
        mean, true = (_flat(moments, members) for moments in (found, truth))
        size = float(true.norm())
        variance = sum(found.variance[layer] for layer in members) / _square(size)
        doubt = sum(found.squared_error(k) + truth.squared_error(k) for k in members)
        doubt /= _square(size)
        # Sampling noise in the two means adds to their squared distance.
        distance = float((mean - true).square().sum()) / _square(size)
        bias = math.sqrt(max(0.0, distance - doubt))
        cosine = float(mean @ true) / (float(mean.norm()) * size or 1.0)
        error = math.sqrt(bias**2 + variance)
        scores.append(Score(estimator, name, bias, variance, cosine, error, math.sqrt(doubt)))
    return scores


def measure(
    problems: Sequence[Problem],
    estimators: Sequence[Estimator],
    budget: Budget,
    generator: torch.Generator,
) -> tuple[list[Score], Reference]:
    """Scores of the estimators for the mean loss of `problems`, examples of one network."""
    truth = reference(problems, budget.reference, generator)
    scores = []
    for estimator in estimators:
        found = average(estimator.moments(p, budget.samples, generator) for p in problems)
        scores += score(estimator.name, found, truth.moments)
    return scores, truth


@dataclass(frozen=True)
class Result:
    """Scores of all estimators and layers in one setting, medians over its networks."""

    setting: Setting
    scores: tuple[Score, ...]
    reference: str

    def score(self, estimator: str, layer: str = HIDDEN) -> Score:
        """The score of that estimator and layer."""
        return next(s for s in self.scores if (s.estimator, s.layer) == (estimator, layer))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, input side first, then "output" and "hidden"."""
        return tuple(dict.fromkeys(score.layer for score in self.scores))

    @property
    def estimators(self) -> tuple[str, ...]:
        """Names of the estimators."""
        return tuple(dict.fromkeys(score.estimator for score in self.scores))


def run(setting: Setting, estimators: Sequence[Estimator], budget: Budget) -> Result:
    """Measure the estimators on `budget.networks` random networks of a setting."""
    rounds = []
    for seed in range(budget.seed, budget.seed + budget.networks):
        generator = torch.Generator().manual_seed(seed)
        scores, truth = measure([setting.problem(seed)], estimators, budget, generator)
        rounds.append(scores)
    return Result(setting, medians(rounds), truth.method)


def medians(rounds: Sequence[Sequence[Score]]) -> tuple[Score, ...]:
    """The median of each figure over several rounds of the same scores."""

    def middle(scores: Sequence[Score]) -> Score:
        def of(figure: Callable[[Score], float]) -> float:
            return median(map(figure, scores))

        return replace(
            scores[0],
            bias=of(lambda s: s.bias),
            variance=of(lambda s: s.variance),
            cosine=of(lambda s: s.cosine),
            error=of(lambda s: s.error),
            uncertainty=of(lambda s: s.uncertainty),
        )

    return tuple(middle(scores) for scores in zip(*rounds, strict=True))


SWEEPS = ("width", "depth", "noise", "loss")
"""What can be varied around a setting."""


def sweep(by: str, base: Setting) -> list[tuple[str, Setting]]:
    """Settings that differ from `base` in one thing, each with the value of that thing.

    "width" takes two hidden layers and "depth" hidden layers of three units, small
    enough to enumerate, with the inputs and outputs of `base`.
    """
    inputs, outputs = base.dims[0], base.dims[-1]
    match by:
        case "width":
            return [(str(n), replace(base, dims=(inputs, n, n, outputs))) for n in (2, 3, 4, 6)]
        case "depth":
            return [(str(n), replace(base, dims=(inputs, *[3] * n, outputs))) for n in (1, 2, 3, 4)]
        case "noise":
            return [(name, replace(base, noise=name)) for name in noises.names()]
        case "loss":
            # The softmax of a single output is constant.
            names = [name for name in LOSSES if name != "softmax" or outputs > 1]
            return [(name, replace(base, loss=name)) for name in names]
    raise ValueError(f"no sweep is called {by!r}")


def _flat(moments: Moments, layers: Sequence[int]) -> Tensor:
    return torch.cat([moments.mean[layer].flatten() for layer in layers])


def _square(size: float) -> float:
    # Of a gradient that is zero every error is absolute.
    return size**2 or 1.0
