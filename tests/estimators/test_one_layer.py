"""Straight-through in one layer of units: x_i = sign(a_i - z_i), gradient of E[f(x)]."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sbn_deploy.estimators.exact import outcome_probability, states
from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.noise import Noise

UNITS = 6
EXACT = 1e-12

every_noise = pytest.mark.parametrize("noise", [noises.get(n) for n in noises.names()], ids=repr)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def a(generator: torch.Generator) -> Tensor:
    return 0.7 * torch.randn(UNITS, generator=generator, dtype=torch.float64)


def multilinear(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A random polynomial without squares, of degree four."""
    pairs = torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64)
    pairs = pairs - pairs.diag().diag()
    single = torch.randn(UNITS, generator=generator, dtype=torch.float64)
    return lambda x: ((x @ pairs) * x).sum(1) + x @ single + x[:, :4].prod(1)


def exact_gradient(f: Callable[[Tensor], Tensor], a: Tensor, noise: Noise) -> Tensor:
    a = a.clone().requires_grad_()
    x = states(UNITS)
    (gradient,) = torch.autograd.grad(outcome_probability(x, noise.mean(a)) @ f(x), a)
    return gradient


def straight_through(
    f: Callable[[Tensor], Tensor], a: Tensor, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Probability of each state, and the estimate made there."""
    x = states(UNITS).requires_grad_()
    (inner,) = torch.autograd.grad(f(x).sum(), x)
    return outcome_probability(states(UNITS), noise.mean(a)), inner * noise.slope(a)


@every_noise
def test_no_variance_for_linear_functions(
    noise: Noise, a: Tensor, generator: torch.Generator
) -> None:
    coefficients = torch.randn(UNITS, generator=generator, dtype=torch.float64)

    def linear(x: Tensor) -> Tensor:
        return x @ coefficients

    _, estimate = straight_through(linear, a, noise)
    exact = exact_gradient(linear, a, noise)
    torch.testing.assert_close(estimate, exact.expand_as(estimate), rtol=0, atol=EXACT)


@every_noise
def test_encodings_0_1_and_minus1_1_agree(
    noise: Noise, a: Tensor, generator: torch.Generator
) -> None:
    """With b = (x + 1) / 2 the factor is p(a), half as large, and df/db twice as large."""
    f = multilinear(generator)
    b = ((states(UNITS) + 1) / 2).requires_grad_()
    (inner,) = torch.autograd.grad(f(2 * b - 1).sum(), b)
    _, estimate = straight_through(f, a, noise)
    torch.testing.assert_close(inner * noise.density(a), estimate, rtol=0, atol=EXACT)
