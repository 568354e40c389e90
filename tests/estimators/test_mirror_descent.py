"""Latent decay as composite mirror descent on the means of Bernoulli weights.

Where mu = 2 theta - 1, a step from theta_t minimises

    <g, mu> + KL(theta, theta_t) / step + decay KL(theta, 1/2),

so that the derivative of it with respect to theta is zero at the new theta.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import noise as noises
from sbn_deploy.train.optim import MirrorDescent

EXACT = 1e-12
STEP = 0.3
DECAY = 0.2


@pytest.fixture
def latent() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, generator=generator, dtype=torch.float64)


@pytest.fixture
def gradient() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, generator=generator, dtype=torch.float64)


def probability(latent: Tensor) -> Tensor:
    return noises.get("logistic").cdf(latent)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(Bernoulli(p), Bernoulli(q)), summed."""
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()


def derivative(new: Tensor, old: Tensor, gradient: Tensor, decay: float) -> Tensor:
    """Of the mirror-descent objective, with respect to theta, at the latents `new`."""
    theta = probability(new).requires_grad_()
    value = gradient @ (2 * theta - 1) + divergence(theta, probability(old)) / STEP
    value = value + decay * divergence(theta, torch.full_like(theta, 0.5))
    (found,) = torch.autograd.grad(value, theta)
    return found


def composite_step(latent: Tensor, gradient: Tensor, step: float, decay: float) -> Tensor:
    """One step of the optimiser, with neither momentum nor scaling."""
    parameter = torch.nn.Parameter(latent.clone())
    parameter.grad = gradient.clone()
    MirrorDescent([parameter], lr=step, moments="sgd", betas=(0.0, 0.0), decay=decay).step()
    return parameter.detach()


@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_exact_latent_decay_is_composite_mirror_descent(
    latent: Tensor, gradient: Tensor, decay: float
) -> None:
    """Without decay, the step on the latent is the plain KL mirror-descent step."""
    new = composite_step(latent, gradient, STEP, decay)
    assert float(derivative(new, latent, gradient, decay).abs().max()) < EXACT


def test_naive_latent_decay_is_not_composite_mirror_descent(
    latent: Tensor, gradient: Tensor
) -> None:
    naive = (1 - STEP * DECAY) * latent - STEP * gradient
    assert float(derivative(naive, latent, gradient, DECAY).abs().max()) > 0.01


def test_bayesbinn_is_composite_mirror_descent(latent: Tensor, gradient: Tensor) -> None:
    """Meng, Bachmann and Khan, arXiv 2002.10778: (1 - alpha) eta - alpha N g, prior 1/2."""
    alpha, examples = 1e-3, 1000
    bayesbinn = (1 - alpha) * latent - alpha * examples * gradient
    step = alpha * examples / (1 - alpha)
    composite = composite_step(latent, gradient, step, 1 / examples)
    torch.testing.assert_close(composite, bayesbinn, rtol=0, atol=EXACT)


def test_the_kl_mirror_map_is_the_logistic_quantile(latent: Tensor) -> None:
    """The derivative of negative entropy in mu is the latent: why plain addition is right."""
    mean = noises.get("logistic").mean(latent).requires_grad_()
    p = (1 + mean) / 2
    (dual,) = torch.autograd.grad((p * p.log() + (1 - p) * (1 - p).log()).sum(), mean)
    torch.testing.assert_close(dual, latent, rtol=0, atol=EXACT)
