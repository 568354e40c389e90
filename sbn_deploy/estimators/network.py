"""The networks under study: dense stochastic binary networks with real weights.

    x_k = sign(a_k - z_k),  a_k = W_k x_{k-1} + b_k,  k = 1 .. H,   z_k ~ noise,
    o   = W_{H+1} x_H + b_{H+1},                                    L = loss(o, y).

Hence P(x_k = +1 | x_{k-1}) = F(a_k) for each unit independently, and the layers
form a Markov chain (Shekhovtsov and Yanush, arXiv 2006.06880, section 2). The
objective is E[L] over all noises. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.estimator import sign
from sbn_deploy.nn.noise import Noise
from sbn_runtime.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs [..., K] and target [K] in {-1, +1} -> loss [...]."""


def linear(outputs: Tensor, target: Tensor) -> Tensor:
    """-<y, o>: the loss for which the straight-through estimator has the most exact cases."""
    return -(outputs * target).sum(-1)


def logistic(outputs: Tensor, target: Tensor) -> Tensor:
    """sum_k log(1 + exp(-y_k o_k)): independent binary classifications."""
    return torch.nn.functional.softplus(-outputs * target).sum(-1)


def squared(outputs: Tensor, target: Tensor) -> Tensor:
    """|o - 2y|^2, with targets out of the reach of a small step: gradients do not vanish."""
    return (outputs - 2 * target).square().sum(-1)


def hinge(outputs: Tensor, target: Tensor) -> Tensor:
    """sum_k max(0, 1 - y_k o_k)^2, the squared hinge usual for binary networks."""
    return (1 - outputs * target).clamp_min(0).square().sum(-1)


def softmax(outputs: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of softmax(o); the class is where the target is +1."""
    return -(outputs.log_softmax(-1) * (1 + target) / 2).sum(-1)


LOSSES: dict[str, Loss] = {
    "logistic": logistic,
    "linear": linear,
    "squared": squared,
    "hinge": hinge,
    "softmax": softmax,
}


def get_loss(name: str) -> Loss:
    """The loss of that name; raises ConfigError if there is none."""
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]


@dataclass(frozen=True)
class Network:
    """A dense stochastic binary network.

    Args:
        weights: H + 1 matrices, float64 [n_k, n_{k-1}]; the last is the output layer.
        biases: H + 1 vectors, float64 [n_k].
        noise: the noise of all hidden units.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    noise: Noise

    @cached_property
    def dims(self) -> tuple[int, ...]:
        """Inputs, units of each hidden layer, outputs."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return self.dims[1:-1]

    def affine(self, layer: int, x: Tensor) -> Tensor:
        """W x + b of weight layer `layer` (0 is the first) for x [..., n]."""
        return x @ self.weights[layer].T + self.biases[layer]


@dataclass(frozen=True)
class Problem:
    """The expected loss of one example: what is differentiated.

    Args:
        network: the network.
        x: input, float64 [n_0].
        y: target, float64 [K] in {-1, +1}.
        loss: the loss.
    """

    network: Network
    x: Tensor
    y: Tensor
    loss: Loss

    def loss_of(self, last: Tensor) -> Tensor:
        """Loss [...] as a function of the last hidden layer [..., n_H]."""
        return self.loss(self.network.affine(-1, last), self.y)

    def with_network(self, network: Network) -> Problem:
        """The same example and loss for another network."""
        return replace(self, network=network)


@dataclass(frozen=True)
class Trajectories:
    """Outcomes of all units, one a row.

    Args:
        inputs: what weight layer k = 0 .. H reads, [S, n_k]; `inputs[0]` is the example.
        preactivations: a_k of the hidden layers, [S, n_k], from the unit outcomes before.
        probabilities: [S] if the rows are all possible outcomes, None if they are
            independent samples.
    """

    inputs: tuple[Tensor, ...]
    preactivations: tuple[Tensor, ...]
    probabilities: Tensor | None = None


def follow(problem: Problem, rows: int, unit: Callable[[int, Tensor], Tensor]) -> Trajectories:
    """Run the network on `rows` copies of the example; `unit(k, a)` gives x_k from a_k."""
    inputs = [problem.x.expand(rows, -1)]
    preactivations = []
    for layer in range(len(problem.network.hidden)):
        a = problem.network.affine(layer, inputs[-1])
        preactivations.append(a)
        inputs.append(unit(layer, a))
    return Trajectories(tuple(inputs), tuple(preactivations))


def sample_signs(a: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """Independent x in {-1, +1} with P(x = +1) = F(a); shape and dtype of a."""
    u = torch.rand(a.shape, dtype=a.dtype, generator=generator)
    return torch.where(u < noise.cdf(a), 1.0, -1.0).to(a.dtype)


def sample_trajectories(problem: Problem, rows: int, generator: torch.Generator) -> Trajectories:
    """Independent samples of all units."""
    noise = problem.network.noise
    return follow(problem, rows, lambda _, a: sample_signs(a, noise, generator))


def deterministic_trajectory(problem: Problem) -> Trajectories:
    """The one trajectory without noise, x = sign(a), with probability one."""
    trajectory = follow(problem, 1, lambda _, a: sign(a))
    return replace(trajectory, probabilities=torch.ones(1, dtype=problem.x.dtype))


def random_problem(
    dims: Sequence[int],
    *,
    seed: int,
    gain: float = 1.0,
    noise: str | Noise = "logistic",
    loss: str | Loss = "logistic",
) -> Problem:
    """A random network and example.

    Weights are N(0, gain^2 / fan-in), biases N(0, (gain / 10)^2), input and target
    uniform in {-1, +1}.

    Args:
        dims: inputs, units of at least one hidden layer, outputs.
        seed: the same seed gives the same problem.
        gain: spread of the preactivations, about; > 0.
        noise, loss: a noise and a loss, or their names.

    Raises:
        ConfigError: `dims` has no hidden layer or a layer without units, an unknown
            noise or loss, or softmax of one output, which is constant.
    """
    if len(dims) < 3 or min(dims) < 1:
        raise ConfigError(
            f"a network needs inputs, hidden units and outputs, like 6-5-4-1;"
            f" got {'-'.join(map(str, dims))}"
        )
    loss = get_loss(loss) if isinstance(loss, str) else loss
    if loss is softmax and dims[-1] == 1:
        raise ConfigError("the softmax of one output is constant; use two outputs or more")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    pairs = list(zip(dims[1:], dims[:-1], strict=True))
    weights = tuple(normal(rows, columns) * (gain / columns**0.5) for rows, columns in pairs)
    biases = tuple(normal(rows) * (0.1 * gain) for rows, _ in pairs)
    x = sign(normal(dims[0]))
    coin = torch.rand(dims[-1], generator=generator, dtype=torch.float64)
    return Problem(
        Network(weights, biases, noises.get(noise)),
        x,
        torch.where(coin < 0.5, 1.0, -1.0).to(x.dtype),
        loss,
    )
