"""Estimators that send the gradient back through the network, with a factor at each unit.

All of them are backpropagation; they differ in the forward value x of a unit and
in the factor dx/da that stands in for the derivative of the sign:

| estimator               | forward                | factor                          |
|-------------------------|------------------------|---------------------------------|
| straight-through        | sign(a - z)            | 2p(a), from the noise           |
| identity, hard-tanh ST  | sign(a - z)            | 1, or 1 where |a| < 1           |
| deterministic ST        | sign(a)                | any of those                    |
| Gumbel-softmax          | tanh((a - z)/T)        | its derivative                  |
| Gumbel-softmax ST       | sign(a - z)            | derivative of tanh((a - z)/T)   |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from sbn_deploy.nn.estimator import sign
from sbn_deploy.nn.noise import Noise, Uniform
from sbn_runtime.errors import ConfigError

from .base import Estimator, TrajectoryEstimator, output_gradient
from .moments import Accumulator, Gradient, Moments
from .network import Problem, Trajectories, deterministic_trajectory, follow

Surrogate = Literal["noise", "identity", "hardtanh"]
"""The factor at a unit: 2p(a), one, or one where |a| < 1."""

SURROGATES: dict[Surrogate, Callable[[Tensor, Noise], Tensor]] = {
    "noise": lambda a, noise: noise.slope(a),
    "identity": lambda a, _: torch.ones_like(a),
    "hardtanh": lambda a, _: Uniform().slope(a),
}


def backpropagate(
    problem: Problem, inputs: Sequence[Tensor], factors: Sequence[Tensor]
) -> Gradient:
    """Backpropagation with given factors dx_k/da_k [S, n_k] at the hidden units."""
    delta = output_gradient(problem, inputs[-1])
    layers = [(delta, inputs[-1])]
    for layer in range(len(factors) - 1, -1, -1):
        delta = (delta @ problem.network.weights[layer + 1]) * factors[layer]
        layers.append((delta, inputs[layer]))
    return layers[::-1]


class StraightThrough(TrajectoryEstimator):
    """The straight-through estimator of deep networks, and its empirical variants.

    With the surrogate "noise" this is the derived estimator (arXiv 2006.06880,
    section 3): each finite difference f(x_i = +1) - f(x_i = -1) in the exact
    gradient is replaced by its linearisation 2 df/dx_i at the sample. "identity"
    is Bengio et al., arXiv 1308.3432.
    """

    source = "Shekhovtsov and Yanush, arXiv 2006.06880"

    def __init__(self, surrogate: Surrogate = "noise") -> None:
        self.surrogate = surrogate
        self.name = "st" if surrogate == "noise" else f"st-{surrogate}"

    def gradient(self, problem: Problem, trajectories: Trajectories) -> Gradient:
        factor = SURROGATES[self.surrogate]
        noise = problem.network.noise
        factors = [factor(a, noise) for a in trajectories.preactivations]
        return backpropagate(problem, trajectories.inputs, factors)


class DeterministicStraightThrough(StraightThrough):
    """The same backward pass on the network without noise, x = sign(a).

    How binary networks are usually trained (Hubara et al., arXiv 1602.02830,
    with "hardtanh"). It has no variance; its error is all bias.
    """

    source = "Hubara et al., arXiv 1602.02830"

    def __init__(self, surrogate: Surrogate = "noise") -> None:
        super().__init__(surrogate)
        self.name = f"det-{self.name}"

    def sample(self, problem: Problem, samples: int, generator: torch.Generator) -> Gradient:
        (one,) = [self.gradient(problem, deterministic_trajectory(problem))]
        return [(delta.expand(samples, -1), x.expand(samples, -1)) for delta, x in one]

    def exact_moments(self, problem: Problem) -> Moments:
        total = Accumulator()
        total.add(self.gradient(problem, deterministic_trajectory(problem)))
        return total.moments()


class GumbelSoftmax(Estimator):
    """Relaxation of sign(a - z) to tanh((a - z) / T); sampled, z being continuous.

    For logistic noise this is the binary Gumbel-softmax or concrete distribution
    (Jang et al., arXiv 1611.01144; Maddison et al., arXiv 1611.00712) in -1/+1
    encoding; for other noises, the same relaxation of their sign. The relaxed form
    is the exact pathwise gradient of another loss, that of the relaxed network. The
    straight-through form evaluates the sign forward.

    Args:
        temperature: T > 0; low: less bias, more variance.
        hard: straight-through form.

    Raises:
        ConfigError: the temperature is not above 0.
    """

    source = "Jang et al., arXiv 1611.01144; Maddison et al., arXiv 1611.00712"

    def __init__(self, temperature: float = 0.5, *, hard: bool) -> None:
        if not temperature > 0:
            raise ConfigError(f"the temperature is {temperature}; it must be above 0")
        self.temperature = temperature
        self.hard = hard
        self.name = "gumbel-st" if hard else "gumbel"

    def sample(self, problem: Problem, samples: int, generator: torch.Generator) -> Gradient:
        noise = problem.network.noise
        factors: list[Tensor] = []

        def unit(_: int, a: Tensor) -> Tensor:
            difference = a - noise.sample(a.shape, generator=generator, dtype=a.dtype)
            relaxed = torch.tanh(difference / self.temperature)
            factors.append((1 - relaxed.square()) / self.temperature)
            return sign(difference) if self.hard else relaxed

        return backpropagate(problem, follow(problem, samples, unit).inputs, factors)
