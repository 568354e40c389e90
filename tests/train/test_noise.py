"""Every registered noise is what its formulas say, in float64 to 1e-12."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import Noise, noise
from sbn_runtime.errors import ConfigError

TOLERANCE = 1e-12


class Cauchy(Noise, name="test-cauchy"):
    """A noise that a user adds."""

    def cdf(self, a: Tensor) -> Tensor:
        return 0.5 + torch.atan(a * math.pi / 2) / math.pi

    def density(self, a: Tensor) -> Tensor:
        return 0.5 / (1 + (a * math.pi / 2) ** 2)

    def quantile(self, u: Tensor) -> Tensor:
        return torch.tan(math.pi * (u - 0.5)) * 2 / math.pi


BUILT_IN = ["logistic", "uniform", "triangular", "normal", "laplace"]
each_noise = pytest.mark.parametrize("name", [*BUILT_IN, Cauchy.name])

# Avoids 0, 1 and 2, where some densities have kinks.
POINTS = torch.linspace(-3.1, 3.1, 63, dtype=torch.float64) + 0.013


def integral(function: Noise, low: int, high: int) -> float:
    """Of the density, by Gauss-Legendre quadrature between integers, where its kinks are."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    starts = np.arange(low, high)[:, None]
    z = torch.from_numpy(starts + (nodes + 1) / 2)
    return float((function.density(z) @ torch.from_numpy(weights)).sum() / 2)


def test_registry_knows_all_noises() -> None:
    assert set(BUILT_IN) | {Cauchy.name} <= set(noise.names())


@each_noise
def test_density_integrates_to_the_cdf(name: str) -> None:
    z = noise.get(name)
    ends = torch.tensor([-40.0, 40.0], dtype=torch.float64)
    low, high = z.cdf(ends).tolist()
    assert integral(z, -40, 40) == pytest.approx(high - low, abs=TOLERANCE)


@pytest.mark.parametrize("name", BUILT_IN)
def test_density_integrates_to_one(name: str) -> None:
    assert integral(noise.get(name), -40, 40) == pytest.approx(1, abs=TOLERANCE)


@each_noise
def test_slope_at_zero_is_one(name: str) -> None:
    z = noise.get(name)
    zero = torch.zeros((), dtype=torch.float64)
    assert float(2 * z.density(zero)) == pytest.approx(1, abs=TOLERANCE)
    assert float(z.slope(zero)) == pytest.approx(1, abs=TOLERANCE)


@each_noise
def test_quantile_inverts_cdf(name: str) -> None:
    z = noise.get(name)
    u = torch.linspace(0.001, 0.999, 501, dtype=torch.float64)
    torch.testing.assert_close(z.cdf(z.quantile(u)), u, rtol=0, atol=TOLERANCE)


@each_noise
def test_mean_is_odd_and_matches_cdf(name: str) -> None:
    z = noise.get(name)
    torch.testing.assert_close(z.mean(-POINTS), -z.mean(POINTS), rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(z.mean(POINTS), 2 * z.cdf(POINTS) - 1, rtol=0, atol=TOLERANCE)


@each_noise
def test_slope_is_the_derivative_of_the_mean(name: str) -> None:
    z = noise.get(name)
    a = POINTS.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(z.mean(a).sum(), a)
    torch.testing.assert_close(z.slope(POINTS), derivative, rtol=0, atol=TOLERANCE)
    (density,) = torch.autograd.grad(z.cdf(a).sum(), a)
    torch.testing.assert_close(z.density(POINTS), density, rtol=0, atol=TOLERANCE)


@each_noise
def test_mean_and_slope_agree_with_each(name: str) -> None:
    z = noise.get(name)
    mean, slope = z.mean_and_slope(POINTS)
    torch.testing.assert_close(mean, z.mean(POINTS), rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(slope, z.slope(POINTS), rtol=0, atol=TOLERANCE)


@each_noise
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_are_finite_and_follow_the_cdf(name: str, dtype: torch.dtype) -> None:
    z = noise.get(name)
    count = 20_000
    draws = z.sample((count,), generator=torch.Generator().manual_seed(0), dtype=dtype)
    assert draws.dtype == dtype
    assert draws.isfinite().all()
    # Kolmogorov-Smirnov: this distance has probability 1e-8.
    u = z.cdf(draws.double()).sort().values
    grid = torch.arange(1, count + 1, dtype=torch.float64) / count
    assert float((u - grid).abs().max()) < math.sqrt(math.log(2e8) / (2 * count))


def test_unknown_and_taken_names_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"unknown noise 'swish'; choose one of logistic"):
        noise.get("swish")
    with pytest.raises(ConfigError, match="'logistic' exists already"):

        class Other(Cauchy, name="logistic"):
            pass

    assert isinstance(noise.get("logistic"), noise.Logistic)
