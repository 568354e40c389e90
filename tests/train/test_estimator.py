"""Stochastic sign: its forward values, and what its gradient is exact for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import BinaryConv2d, BinaryLinear, StochasticSign, noise
from sbn_deploy.nn.estimator import (
    Forward,
    sample_sign,
    sign,
    straight_through,
    unrecorded_sign,
)
from sbn_deploy.nn.surrogate import Identity
from sbn_runtime.errors import ConfigError

each_noise = pytest.mark.parametrize("name", noise.names())
UNITS = 5


def all_states(units: int) -> Tensor:
    """[2^units, units] in -1/+1."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=units)), dtype=torch.float64)


def multilinear(x: Tensor) -> Tensor:
    """A function of x [..., UNITS] linear in each unit, with products of two and of four."""
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64).triu(1)
    return (x @ pairs * x).sum(-1) + x[..., 0] * x[..., 1] * x[..., 2] * x[..., 4]


def exact_and_expected_gradient(name: str, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(true gradient of E[f(x)], expectation of the estimator, pre-activations).

    f is multilinear plus the sum of squares * x^2, which is constant on -1/+1.
    The estimator is applied to every state by choosing a noise draw that gives it.
    """
    z = noise.get(name)
    a = torch.randn(UNITS, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.7
    states = all_states(UNITS)

    leaf = a.clone().requires_grad_()
    probability = ((1 + states * z.mean(leaf)) / 2).prod(1)
    (exact,) = torch.autograd.grad((probability * multilinear(states)).sum(), leaf)

    # The layer's backward factor, taken from the layer itself.
    leaf = a.clone().requires_grad_()
    (factor,) = torch.autograd.grad(straight_through(leaf, z, "sampled").sum(), leaf)
    x = states.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((multilinear(x) + x.square() @ squares).sum(), x)
    return exact, (probability.detach()[:, None] * gradient * factor).sum(0), a


@each_noise
def test_unbiased_for_multilinear_functions_of_one_layer(name: str) -> None:
    exact, expected, _ = exact_and_expected_gradient(name, torch.zeros(UNITS, dtype=torch.float64))
    torch.testing.assert_close(expected, exact, rtol=0, atol=1e-12)


@each_noise
def test_squares_shift_the_estimate_by_the_known_bias(name: str) -> None:
    squares = torch.linspace(-1, 2, UNITS, dtype=torch.float64)
    exact, expected, a = exact_and_expected_gradient(name, squares)
    z = noise.get(name)
    bias = 2 * squares * z.mean(a) * z.slope(a)
    torch.testing.assert_close(expected, exact + bias, rtol=0, atol=1e-12)


@each_noise
@pytest.mark.parametrize("forward", get_args(Forward))
def test_backward_multiplies_by_the_slope(name: str, forward: Forward) -> None:
    a = torch.linspace(-2.6, 2.7, 41, dtype=torch.float64, requires_grad=True)
    incoming = torch.linspace(1, 2, 41, dtype=torch.float64)
    z = noise.get(name)
    (gradient,) = torch.autograd.grad(straight_through(a, z, forward), a, incoming)
    torch.testing.assert_close(gradient, incoming * z.slope(a.detach()), rtol=0, atol=1e-15)
    (identity,) = torch.autograd.grad(straight_through(a, z, forward, Identity()), a, incoming)
    assert torch.equal(identity, incoming)


@pytest.mark.parametrize("of", [sign, unrecorded_sign, torch.inference_mode()(sign)])
def test_sign_of_zero_and_nan_is_plus_one(of: Callable[[Tensor], Tensor]) -> None:
    values = torch.tensor([0.0, -0.0, float("nan"), -float("nan"), -1e-45, -math.inf, math.inf])
    assert of(values).tolist() == [1, 1, 1, 1, -1, -1, 1]
    # Long enough for vector instructions, and in another memory layout.
    image = values.repeat(64).view(1, 7, 8, 8).contiguous(memory_format=torch.channels_last)
    assert torch.equal(of(image), torch.where(image < 0, -1.0, 1.0))
    assert of(image).is_contiguous(memory_format=torch.channels_last)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert of(values.to(dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_samples_have_the_given_mean(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    means = torch.linspace(-1, 1, 9, dtype=dtype)
    draws = sample_sign(means.repeat(40_000, 1))
    assert draws.dtype == dtype
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    found = draws.double().mean(0)
    # Six standard deviations of a mean of 40,000 signs.
    assert float((found - means.double()).abs().max()) < 6 / math.sqrt(40_000)
    assert (found[0], found[-1]) == (-1, 1)


def test_samples_of_channels_last_tensors_keep_their_layout_and_means() -> None:
    torch.manual_seed(0)
    means = torch.tensor([-1.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(64, 3, 16, 16)
    means = means.contiguous(memory_format=torch.channels_last)
    draws = sample_sign(means)
    assert draws.is_contiguous(memory_format=torch.channels_last)
    assert (draws[:, 0] == -1).all()
    assert (draws[:, 1] == 1).all()
    assert abs(float(draws[:, 2].mean())) < 6 / math.sqrt(64 * 16 * 16)


def test_neighbouring_samples_are_independent() -> None:
    torch.manual_seed(0)
    draws = sample_sign(torch.zeros(1 << 16))
    for lag in range(1, 9):
        correlation = float((draws[lag:] * draws[:-lag]).mean())
        assert abs(correlation) < 6 / math.sqrt(len(draws))


def test_activation_is_sampled_in_training_and_deterministic_in_evaluation() -> None:
    torch.manual_seed(0)
    a = torch.randn(1000) * 0.3
    layer = StochasticSign("uniform")
    assert not torch.equal(layer(a), layer(a))
    layer.eval()
    assert torch.equal(layer(a), sign(a))
    mean = StochasticSign("uniform", eval_forward="mean").eval()
    assert torch.equal(mean(a), a.clamp(-1, 1))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda **o: BinaryLinear(12, 7, **o), (3, 12)),
        (lambda **o: BinaryConv2d(4, 5, 3, padding=1, **o), (3, 4, 6, 6)),
    ],
)
def test_binary_layers_evaluate_their_weights_as_asked(layer, shape) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = torch.randn(shape)
    sampled = layer()
    assert sampled(x).shape[:2] == (3, sampled.latent.shape[0])
    assert not torch.equal(sampled.weight(), sampled.weight())
    assert set(sampled.weight().unique().tolist()) == {-1.0, 1.0}
    sampled.eval()
    assert torch.equal(sampled.weight(), sign(sampled.latent))
    mean = layer(eval_forward="mean").eval()
    assert torch.equal(mean.weight(), torch.tanh(mean.latent))
    fixed = sampled.fixed(sampled.weight().detach())
    assert torch.equal(fixed(x), sampled(x))


def test_identity_and_proxy_gradients_of_the_latent() -> None:
    torch.manual_seed(0)
    x = sign(torch.randn(8, 6))
    incoming = torch.randn(8, 4)
    gradients = {}
    for form in ("identity", "proxy"):
        layer = BinaryLinear(6, 4, weight_gradient=form, train_forward="deterministic")
        with torch.no_grad():
            layer.latent.copy_(torch.linspace(-2, 2, 24).view(4, 6))
        layer(x).backward(incoming)
        gradients[form] = layer.latent.grad
    slope = noise.get("logistic").slope(torch.linspace(-2, 2, 24).view(4, 6))
    torch.testing.assert_close(gradients["identity"], incoming.T @ x)
    torch.testing.assert_close(gradients["proxy"], (incoming.T @ x) * slope)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_padding_value_surrounds_the_image(value: float) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(2, 3, (3, 5), padding=(1, 2), padding_value=value).eval()
    x = torch.randn(2, 2, 4, 6)
    padded = torch.full((2, 2, 6, 10), value)
    padded[:, :, 1:5, 2:8] = x
    expected = torch.nn.functional.conv2d(padded, layer.weight())
    torch.testing.assert_close(layer(x), expected)


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"padding_value is 0\.5"):
        BinaryConv2d(1, 1, 3, padding_value=0.5)
    with pytest.raises(ConfigError, match="unknown forward 'mode'"):
        StochasticSign(train_forward="mode")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown weight_gradient 'reinforce'"):
        BinaryLinear(1, 1, weight_gradient="reinforce")  # type: ignore[arg-type]
