"""Exact expectations by enumeration.

The layers form a Markov chain, so that E[L] needs the states of two neighbouring
layers at a time, not of all layers: 2^(n_k + n_{k+1}) terms. Estimators, which
look at whole trajectories, need all 2^(n_1 + ... + n_H).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .network import Network, Problem, Trajectories, follow

MAX_WIDTH = 9
"""Widest hidden layer for which `exact_gradient` stays below a second."""

MAX_UNITS = 15
"""Most hidden units for which all trajectories are enumerated."""

MAX_ARM_WIDTH = 6
"""Widest hidden layer for which the moments of ARM are enumerated: 3^n x 2^n terms."""


def states(units: int) -> Tensor:
    """All of {-1, +1}^units, float64 [2^units, units], counting up with -1 as 0."""
    bits = torch.arange(2**units).unsqueeze(1) >> torch.arange(units - 1, -1, -1)
    return (2 * (bits & 1) - 1).to(torch.float64)


def state_index(x: Tensor) -> Tensor:
    """Row of each x [..., n] in `states(n)`, int64 [...]."""
    places = 2 ** torch.arange(x.shape[-1] - 1, -1, -1)
    return ((x > 0) * places).sum(-1)


def outcome_probability(x: Tensor, mean: Tensor) -> Tensor:
    """P(x) of independent units with that mean, product over the last axis."""
    return ((1 + x * mean) / 2).prod(-1)


def transition(network: Network, layer: int, previous: Tensor) -> Tensor:
    """P(x_k | x_{k-1}): previous [S, n_{k-1}] -> [S, 2^n_k], for hidden layer `layer`."""
    mean = network.noise.mean(network.affine(layer, previous))
    return outcome_probability(states(network.hidden[layer]), mean.unsqueeze(1))


def reachable(problem: Problem, layer: int) -> Tensor:
    """All values of the input of weight layer `layer`, [S, n]."""
    if layer == 0:
        return problem.x.unsqueeze(0)
    return states(problem.network.hidden[layer - 1])


def cost_to_go(problem: Problem, power: int = 1) -> list[Tensor]:
    """E[L^power | x_k] for every state of each hidden layer, [2^n_k] each."""
    hidden = problem.network.hidden
    value = problem.loss_of(states(hidden[-1])) ** power
    found = [value]
    for layer in range(len(hidden) - 1, 0, -1):
        value = transition(problem.network, layer, reachable(problem, layer)) @ value
        found.append(value)
    return found[::-1]


def expected_loss(problem: Problem) -> Tensor:
    """E[L], a scalar that autograd can differentiate."""
    first = transition(problem.network, 0, reachable(problem, 0))
    return (first @ cost_to_go(problem)[0]).squeeze(0)


def exact_gradient(problem: Problem) -> list[Tensor]:
    """The gradient of E[L], per weight layer [n_k, n_{k-1} + 1], the bias last."""
    network = problem.network
    weights = tuple(weight.clone().requires_grad_() for weight in network.weights)
    biases = tuple(bias.clone().requires_grad_() for bias in network.biases)
    value = expected_loss(problem.with_network(Network(weights, biases, network.noise)))
    gradients = torch.autograd.grad(value, weights + biases)
    layers = len(weights)
    return [
        torch.cat([weight, bias.unsqueeze(1)], 1)
        for weight, bias in zip(gradients[:layers], gradients[layers:], strict=True)
    ]


def all_trajectories(problem: Problem) -> Trajectories:
    """Every outcome of all hidden units with its probability; 2^(n_1 + ... + n_H) rows."""
    network = problem.network
    outcomes = torch.split(states(sum(network.hidden)), list(network.hidden), dim=1)
    trajectories = follow(problem, len(outcomes[0]), lambda layer, _: outcomes[layer])
    probabilities = torch.ones(len(outcomes[0]), dtype=torch.float64)
    for x, a in zip(outcomes, trajectories.preactivations, strict=True):
        probabilities = probabilities * outcome_probability(x, network.noise.mean(a))
    return Trajectories(trajectories.inputs, trajectories.preactivations, probabilities)
