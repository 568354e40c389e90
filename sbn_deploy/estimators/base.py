"""What a gradient estimator is, and how its moments are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from .exact import MAX_UNITS, all_trajectories
from .moments import Accumulator, Gradient, Moments
from .network import Network, Problem, Trajectories, sample_trajectories

CHUNK = 4096
"""Most samples taken at a time."""

CHUNK_NUMBERS = 2**22
"""About the most numbers in one temporary, to bound memory."""


class Estimator(ABC):
    """A random vector meant to have the gradient of E[L] as its mean.

    Attributes:
        name: short name, unique.
        source: where it comes from.
        unbiased: whether its mean is the gradient, always.
        extra_cost: what it costs beyond one forward and one backward pass.
        no_training: why `sbn train` does not offer it; empty where it does.
    """

    name: str
    source: ClassVar[str]
    unbiased: ClassVar[bool] = False
    extra_cost: ClassVar[str] = ""
    no_training: ClassVar[str] = ""

    @abstractmethod
    def sample(self, problem: Problem, samples: int, generator: torch.Generator) -> Gradient:
        """Independent estimates, `samples` rows."""

    def exact_moments(self, problem: Problem) -> Moments | None:
        """Moments without sampling, or None where that is out of reach."""
        return None

    def moments(self, problem: Problem, samples: int, generator: torch.Generator) -> Moments:
        """Exact moments if they can be had, else those of `samples` samples."""
        return self.exact_moments(problem) or self.sampled_moments(problem, samples, generator)

    def sampled_moments(
        self, problem: Problem, samples: int, generator: torch.Generator
    ) -> Moments:
        """Moments of `samples` samples, at least 2."""
        total = Accumulator()
        for count in chunks(samples, problem.network):
            total.add(self.sample(problem, count, generator))
        return total.moments(samples)


class TrajectoryEstimator(Estimator):
    """An estimator that is a function of one sampled trajectory.

    Its moments are exact sums over all trajectories for nets with up to
    `MAX_UNITS` hidden units.
    """

    @abstractmethod
    def gradient(self, problem: Problem, trajectories: Trajectories) -> Gradient:
        """The estimate for each trajectory."""

    def sample(self, problem: Problem, samples: int, generator: torch.Generator) -> Gradient:
        return self.gradient(problem, sample_trajectories(problem, samples, generator))

    def exact_moments(self, problem: Problem) -> Moments | None:
        if sum(problem.network.hidden) > MAX_UNITS:
            return None
        trajectories = all_trajectories(problem)
        total = Accumulator()
        total.add(self.gradient(problem, trajectories), trajectories.probabilities)
        return total.moments()


def chunks(samples: int, network: Network) -> Iterator[int]:
    """`samples` divided into parts that fit into memory.

    None has a single sample, as the baseline of one needs another.
    """
    widest = max(weight.numel() for weight in network.weights)
    most = min(CHUNK, max(16, CHUNK_NUMBERS // widest))
    parts = -(-samples // most)
    for part in range(parts):
        yield samples * (part + 1) // parts - samples * part // parts


def output_gradient(problem: Problem, last: Tensor) -> Tensor:
    """dL/do for each row of the last hidden layer, [S, K]."""
    outputs = problem.network.affine(-1, last).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.loss(outputs, problem.y).sum(), outputs)
    return gradient
