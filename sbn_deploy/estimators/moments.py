"""Mean and variance of gradient estimates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Gradient = Sequence[tuple[Tensor, Tensor]]
"""One or more estimates, per weight layer: the gradient with respect to the outputs
of the layer, [S, n_k], and the inputs of the layer, [S, n_{k-1}]. The gradient of
weight and bias is the outer product of the first with the second and a one; keeping
the factors saves memory, and the squared norm of a product is a product of norms."""


@dataclass(frozen=True)
class Moments:
    """Mean and total variance of one estimate of the gradient, per weight layer.

    Args:
        mean: [n_k, n_{k-1} + 1], the bias last.
        variance: trace of the covariance of a single estimate.
        samples: from how many samples the moments are estimated; None: they are exact.
    """

    mean: tuple[Tensor, ...]
    variance: tuple[float, ...]
    samples: int | None

    def squared_error(self, layer: int) -> float:
        """Expected squared error of `mean[layer]` itself, from sampling; 0 if exact."""
        return 0.0 if self.samples is None else self.variance[layer] / self.samples


class Accumulator:
    """Collects weighted estimates into moments."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._sum: list[Tensor] = []
        self._squares: list[float] = []

    def add(self, gradient: Gradient, probabilities: Tensor | None = None) -> None:
        """Add S estimates, each with its probability, or with equal weight."""
        means, squares = [], []
        for delta, inputs in gradient:
            weighted = delta if probabilities is None else delta * probabilities.unsqueeze(1)
            weight = weighted.T @ inputs
            means.append(torch.cat([weight, weighted.sum(0).unsqueeze(1)], 1))
            norms = (weighted * delta).sum(1) * (1 + inputs.square().sum(1))
            squares.append(float(norms.sum()))
        count = len(gradient[0][0])
        self._weight += count if probabilities is None else float(probabilities.sum())
        self._sum = [a + b for a, b in zip(self._sum, means, strict=True)] if self._sum else means
        self._squares = (
            [a + b for a, b in zip(self._squares, squares, strict=True)]
            if self._squares
            else squares
        )

    def moments(self, samples: int | None = None) -> Moments:
        """The moments of what was added; `samples` as in `Moments`."""
        mean = tuple(total / self._weight for total in self._sum)
        return Moments(mean, total_variance(mean, self._squares, self._weight), samples)


def total_variance(
    mean: Sequence[Tensor], squares: Sequence[float], weight: float = 1.0
) -> tuple[float, ...]:
    """E|g|^2 - |E g|^2 per layer, with rounding below zero removed; `squares` sum to weight."""
    return tuple(
        max(0.0, square / weight - float(m.square().sum()))
        for m, square in zip(mean, squares, strict=True)
    )


def average(moments: Iterable[Moments]) -> Moments:
    """Moments for the mean loss of several examples that have the given moments.

    A single estimate is now one sample for one example: n of them, spread evenly over
    the examples, have the variance / n, as in a batch.
    """
    parts = list(moments)
    count = len(parts)
    taken = [part.samples for part in parts if part.samples is not None]
    return Moments(
        tuple(torch.stack(means).mean(0) for means in zip(*(p.mean for p in parts), strict=True)),
        tuple(sum(v) / count for v in zip(*(p.variance for p in parts), strict=True)),
        sum(taken) if taken else None,
    )
