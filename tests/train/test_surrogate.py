"""Deterministic signs with surrogate gradients, and temperatures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import DeterministicSign, StochasticSign, Surrogate, noise, surrogate
from sbn_deploy.nn.estimator import sign
from sbn_runtime.errors import ConfigError

A = torch.linspace(-4, 4, 4001, dtype=torch.float64)
each_surrogate = pytest.mark.parametrize("name", surrogate.names())


def gradient(layer: torch.nn.Module, a: Tensor) -> Tensor:
    leaf = a.clone().requires_grad_()
    (result,) = torch.autograd.grad(layer(leaf).sum(), leaf)
    return result


def test_all_of_the_literature_are_there() -> None:
    assert surrogate.names()[:5] == ("identity", "hard-tanh", "tanh", "approx-sign", "swish-sign")


@each_surrogate
def test_forward_is_the_sign_and_backward_the_slope(name: str) -> None:
    layer = DeterministicSign(name)
    assert torch.equal(layer(A), sign(A))
    assert torch.equal(gradient(layer, A), surrogate.get(name).slope(A))
    assert surrogate.get(name).slope(A.float()).dtype == torch.float32


@each_surrogate
def test_a_named_noise_has_this_slope(name: str) -> None:
    made = surrogate.get(name)
    slope = made.slope(A)
    if made.noise is None:
        # No density up to scale: it goes below zero, or does not integrate to a finite number.
        assert slope.min() < 0 or float(slope.min()) == float(slope.max()) > 0
    else:
        expected = made.scale * noise.get(made.noise).slope(made.scale * A)
        torch.testing.assert_close(slope, expected, rtol=0, atol=1e-12)
        # Twice a density: it integrates to two. Tails beyond 4 hold less than 1e-3.
        assert float(torch.trapezoid(slope, A)) == pytest.approx(2, abs=2e-3)


def test_swish_sign_is_the_derivative_of_its_function() -> None:
    a = A.clone().requires_grad_()
    b = 5 * a
    function = 2 * torch.sigmoid(b) * (1 + b * (1 - torch.sigmoid(b))) - 1
    (derivative,) = torch.autograd.grad(function.sum(), a)
    slope = surrogate.get("swish-sign").slope(A)
    torch.testing.assert_close(slope, derivative, rtol=0, atol=1e-12)
    assert float(slope.min()) == pytest.approx(-0.369, abs=1e-3)
    huge = torch.tensor([-1e30, -300.0, 300.0, 1e30])
    assert torch.equal(surrogate.get("swish-sign").slope(huge), torch.zeros(4))


def test_a_new_surrogate_registers_itself() -> None:
    class Cosine(Surrogate, name="test-cosine"):
        def slope(self, a: Tensor) -> Tensor:
            return torch.cos(a.clamp(-math.pi / 2, math.pi / 2))

    assert torch.equal(gradient(DeterministicSign("test-cosine"), A), Cosine().slope(A))
    with pytest.raises(ConfigError, match="'tanh' exists already"):

        class Other(Cosine, name="tanh"):
            pass


def test_temperature_scales_noise_and_slope() -> None:
    torch.manual_seed(0)
    a = torch.full((40_000,), 0.6)
    layer = StochasticSign("uniform", temperature=2.0)
    # Six standard deviations of the mean of the signs.
    assert abs(float(layer(a).mean()) - 0.3) < 6 / math.sqrt(len(a))
    for made in (StochasticSign("logistic", temperature=0.5), DeterministicSign(temperature=0.5)):
        expected = 2 * noise.get("logistic").slope(2 * A)
        torch.testing.assert_close(gradient(made, A), expected, rtol=0, atol=1e-12)
        assert torch.equal(made.eval()(A), sign(A))


def test_learnable_temperature_gets_the_gradient_of_the_mean() -> None:
    layer = StochasticSign("logistic", train_forward="mean", temperature=0.7, learnable=True)
    layer.double()
    layer(A).square().sum().backward()
    found = layer.log_temperature.grad
    log_t = torch.tensor(math.log(0.7), dtype=torch.float64, requires_grad=True)
    torch.tanh(A * torch.exp(-log_t)).square().sum().backward()
    torch.testing.assert_close(found, log_t.grad)
    assert dict(layer.named_parameters()).keys() == {"log_temperature"}
    assert not list(StochasticSign().parameters())


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(ConfigError, match="unknown surrogate 'step'; choose one of identity"):
        DeterministicSign("step")
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="must be positive and finite"):
            StochasticSign(temperature=temperature)
