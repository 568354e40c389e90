"""The estimators along a training run: how their errors change as a network learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sbn_deploy.data import load
from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.estimator import sign, straight_through
from sbn_runtime.errors import ConfigError

from .base import Estimator
from .network import Loss, Network, Problem, get_loss, random_problem
from .study import Budget, Score, Setting, measure

TASKS = ("digits", "teacher")
"""What a network can be trained on: the bundled digits, or the signs of a random network."""

STEPS = (0, 10, 50, 200, 800)
"""Training steps after which the estimators are measured."""

BATCH = 64
EXAMPLES = 8


@dataclass(frozen=True)
class Moment:
    """The estimators at one moment of training.

    Args:
        step: training steps so far.
        loss: mean training loss of the sampled network.
        accuracy: share of training examples that the sampled network has right.
        scores: of the gradient of the mean loss of a few fixed examples; an
            estimate is one sample for one of them.
        reference: how the true gradient was found.
    """

    step: int
    loss: float
    accuracy: float
    scores: tuple[Score, ...]
    reference: str


@dataclass(frozen=True)
class Task:
    """Inputs float64 [N, n_0] and targets float64 [N, K] in {-1, +1}."""

    inputs: Tensor
    targets: Tensor


def get_task(name: str, dims: Sequence[int], seed: int) -> Task:
    """A task for a network with those dims.

    Raises:
        ConfigError: unknown task, or dims that do not fit the digits (64 inputs, 10 outputs).
        MissingDependencyError: the digits need scikit-learn.
    """
    if name == "teacher":
        # Another seed than the student's, or there would be nothing to learn.
        teacher = random_problem(dims, seed=seed + 1, gain=4.0).network
        generator = torch.Generator().manual_seed(seed)
        x = sign(torch.randn(1024, dims[0], generator=generator, dtype=torch.float64))
        y = x
        for layer in range(len(teacher.weights)):
            y = sign(teacher.affine(layer, y))
        return Task(x, y)
    if name != "digits":
        raise ConfigError(f"unknown task {name!r}; choose one of {', '.join(TASKS)}")
    if (dims[0], dims[-1]) != (64, 10):
        raise ConfigError(
            f"digits have 64 inputs and 10 classes; a net {'-'.join(map(str, dims))} does not fit,"
            " 64-8-6-10 does"
        )
    data = load("digits", "train")
    inputs = torch.from_numpy(data.inputs()).flatten(1).to(torch.float64)
    labels = torch.nn.functional.one_hot(torch.from_numpy(data.labels), dims[-1])
    return Task(inputs, (2 * labels - 1).to(torch.float64))


def along(
    task: Task,
    setting: Setting,
    estimators: Sequence[Estimator],
    budget: Budget,
    *,
    steps: Sequence[int] = STEPS,
    report: Callable[[str], None] = lambda _: None,
) -> list[Moment]:
    """Train a network with the straight-through estimator; measure it after `steps` steps.

    Adam with step 0.01, batches of 64. Reproducible by `budget.seed`; torch's global
    generator is left as it was. `report` is called after each measurement.
    """
    noise = noises.get(setting.noise)
    start = setting.problem(budget.seed)
    parameters = [
        tensor.clone().requires_grad_() for tensor in start.network.weights + start.network.biases
    ]
    layers = len(setting.dims) - 1
    loss = get_loss(setting.loss)
    optimiser = torch.optim.Adam(parameters, lr=0.01)
    generator = torch.Generator().manual_seed(budget.seed)
    chosen = torch.randperm(len(task.inputs), generator=generator)[:EXAMPLES]
    # Apart from the training's generator: what is measured does not change the path.
    sampling = torch.Generator().manual_seed(budget.seed)
    moments = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget.seed)
        for step in range(max(steps) + 1):
            network = Network(tuple(parameters[:layers]), tuple(parameters[layers:]), noise)
            if step in steps:
                fixed = _detached(network)
                problems = [Problem(fixed, task.inputs[i], task.targets[i], loss) for i in chosen]
                scores, truth = measure(problems, estimators, budget, sampling)
                value, accuracy = _evaluate(fixed, task, loss)
                moments.append(Moment(step, value, accuracy, tuple(scores), truth.method))
                report(f"step {step}, training loss {value:.3f}")
            rows = torch.randint(len(task.inputs), (BATCH,), generator=generator)
            outputs = _forward(network, task.inputs[rows])
            optimiser.zero_grad()
            torch.autograd.backward(_mean_loss(outputs, task.targets[rows], loss))
            optimiser.step()
    return moments


def _forward(network: Network, x: Tensor) -> Tensor:
    for layer in range(len(network.hidden)):
        x = straight_through(network.affine(layer, x), network.noise, "sampled")
    return network.affine(-1, x)


def _mean_loss(outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    return loss(outputs, targets).mean()


def _evaluate(network: Network, task: Task, loss: Loss) -> tuple[float, float]:
    outputs = _forward(network, task.inputs)
    if task.targets.shape[1] > 1:
        right = outputs.argmax(1) == task.targets.argmax(1)
    else:
        right = (sign(outputs) == task.targets).squeeze(1)
    return float(_mean_loss(outputs, task.targets, loss)), float(right.double().mean())


def _detached(network: Network) -> Network:
    return replace(
        network,
        weights=tuple(weight.detach().clone() for weight in network.weights),
        biases=tuple(bias.detach().clone() for bias in network.biases),
    )
