"""Unbiased estimators that use values of the loss only: REINFORCE and ARM."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Estimator, TrajectoryEstimator, output_gradient
from .exact import MAX_ARM_WIDTH, cost_to_go, reachable, state_index, transition
from .moments import Accumulator, Gradient, Moments, total_variance
from .network import Problem, Trajectories, sample_signs, sample_trajectories


class Reinforce(TrajectoryEstimator):
    """(L - b) d log P(x | a) / da, the score-function estimator, with a baseline.

    Williams, "Simple statistical gradient-following algorithms", 1992. The baseline
    b is E[L] where all trajectories are enumerated, and the mean loss of the other
    samples (independent of this one, hence unbiased) where they are sampled.
    The output layer has its usual gradient.
    """

    name = "reinforce"
    source = "Williams, Machine Learning 8, 1992"
    unbiased = True
    no_training = (
        "it weighs the units of an image by the loss of that image, which with batch-norm depends"
        " on the units of all others too"
    )

    def gradient(self, problem: Problem, trajectories: Trajectories) -> Gradient:
        noise, inputs = problem.network.noise, trajectories.inputs
        loss = problem.loss_of(inputs[-1])
        if trajectories.probabilities is None:
            advantage = (loss - loss.mean()) * (len(loss) / (len(loss) - 1))
        else:
            advantage = loss - trajectories.probabilities @ loss
        layers = []
        for k, a in enumerate(trajectories.preactivations):
            x = inputs[k + 1]
            score = _ratio(x * noise.density(a), (1 + x * noise.mean(a)) / 2)
            layers.append((advantage.unsqueeze(1) * score, inputs[k]))
        return [*layers, (output_gradient(problem, inputs[-1]), inputs[-1])]


class Arm(Estimator):
    """ARM: augment-REINFORCE-merge, an antithetic score-function estimator.

    Yin and Zhou, arXiv 1807.11143. With u uniform in [0, 1]^n, let x' = +1 where
    u > 1 - F(a) and x'' = +1 where u < F(a). Then

        (L(x') - L(x'')) (u - 1/2)

    has the gradient with respect to the logits of F(a) as its mean; times
    p(a) / (F(a)(1 - F(a))) it is the one with respect to a. Layer k of a deep
    network samples x_{k-1} forward and runs the layers above once from x' and
    independently once from x''; it costs two extra forward passes per layer.

    The moments are exact for small networks: the pair (x', x'') is constant on
    three intervals of each u_i, and the layers above enter through E[L | x_k]
    and E[L^2 | x_k].
    """

    name = "arm"
    source = "Yin and Zhou, arXiv 1807.11143"
    unbiased = True
    extra_cost = "two more forward passes for every hidden layer"
    no_training = (
        "it runs the layers above each hidden layer two more times, and weighs the units of an"
        " image by its loss alone, which with batch-norm depends on the units of all others too"
    )

    def sample(self, problem: Problem, samples: int, generator: torch.Generator) -> Gradient:
        noise = problem.network.noise
        trajectories = sample_trajectories(problem, samples, generator)
        layers = []
        for k, a in enumerate(trajectories.preactivations):
            u = torch.rand(a.shape, dtype=a.dtype, generator=generator)
            probability = noise.cdf(a)
            first = torch.where(u > 1 - probability, 1.0, -1.0).to(a.dtype)
            second = torch.where(u < probability, 1.0, -1.0).to(a.dtype)
            difference = self._rollout(problem, k, first, generator) - self._rollout(
                problem, k, second, generator
            )
            # Where the pair agrees nothing is run, and the difference is zero.
            difference = torch.where((first == second).all(1), 0.0, difference)
            delta = difference.unsqueeze(1) * (u - 0.5) * _per_logit(problem, a)
            layers.append((delta, trajectories.inputs[k]))
        last = trajectories.inputs[-1]
        return [*layers, (output_gradient(problem, last), last)]

    @staticmethod
    def _rollout(problem: Problem, layer: int, x: Tensor, generator: torch.Generator) -> Tensor:
        network = problem.network
        for k in range(layer + 1, len(network.hidden)):
            x = sample_signs(network.affine(k, x), network.noise, generator)
        return problem.loss_of(x)

    def exact_moments(self, problem: Problem) -> Moments | None:
        hidden = problem.network.hidden
        if max(hidden) > MAX_ARM_WIDTH:
            return None
        value, square = cost_to_go(problem), cost_to_go(problem, power=2)
        reached = torch.ones(1, dtype=torch.float64)
        means, squares = [], []
        for k in range(len(hidden)):
            inputs = reachable(problem, k)
            first, second = _layer_moments(problem, k, inputs, value[k], square[k])
            weighted = first * reached.unsqueeze(1)
            means.append(torch.cat([weighted.T @ inputs, weighted.sum(0).unsqueeze(1)], 1))
            squares.append(float(reached @ (second * (1 + inputs.square().sum(1)))))
            reached = reached @ transition(problem.network, k, inputs)
        output = Accumulator()
        last = reachable(problem, len(hidden))
        output.add([(output_gradient(problem, last), last)], reached)
        above = output.moments()
        variance = total_variance(means, squares)
        return Moments((*means, *above.mean), (*variance, *above.variance), None)


def _layer_moments(
    problem: Problem, layer: int, inputs: Tensor, value: Tensor, square: Tensor
) -> tuple[Tensor, Tensor]:
    """E[delta] [S, n] and E|delta|^2 [S] of ARM in one layer, for inputs [S, m].

    `value` and `square` are E[L | x] and E[L^2 | x] for the states x of the layer.
    """
    a = problem.network.affine(layer, inputs)
    units = a.shape[1]
    probability = problem.network.noise.cdf(a)
    low = torch.minimum(probability, 1 - probability)
    # The intervals of u: [0, low], [low, 1 - low] and [1 - low, 1]. Axis 0 below.
    width = torch.stack([low, 1 - 2 * low, low])
    centre = torch.stack([(low - 1) / 2, torch.zeros_like(low), (1 - low) / 2])
    spread = centre.square() + width.square() / 12
    both = torch.where(probability > 0.5, 1.0, -1.0).to(a.dtype)
    one = torch.ones_like(both)
    pair = torch.stack([-one, both, one]), torch.stack([one, both, -one])

    choice = torch.cartesian_prod(*[torch.arange(3)] * units).view(-1, units)
    unit = torch.arange(units)

    def chosen(table: Tensor) -> Tensor:
        """[3, S, n] -> [3^n, S, n]: the interval of each unit chosen."""
        return table[choice, :, unit].transpose(1, 2)

    first, second = (state_index(chosen(x)) for x in pair)
    chance = chosen(width).prod(-1)
    difference = value[first] - value[second]
    squared = square[first] + square[second] - 2 * value[first] * value[second]
    squared = torch.where(first == second, 0.0, squared)
    scale = _per_logit(problem, a)
    mean = ((chance * difference).unsqueeze(2) * chosen(centre)).sum(0) * scale
    total = ((chance * squared).unsqueeze(2) * chosen(spread)).sum(0) * scale.square()
    return mean, total.sum(1)


def _per_logit(problem: Problem, a: Tensor) -> Tensor:
    """d logit F(a) / da; 0 where F(a) is 0 or 1, as a has no influence there."""
    noise = problem.network.noise
    probability = noise.cdf(a)
    return _ratio(noise.density(a), probability * (1 - probability))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    possible = denominator > 0
    return torch.where(possible, numerator / torch.where(possible, denominator, 1.0), 0.0)
