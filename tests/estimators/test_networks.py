"""The estimators on small networks, against exact gradients."""

from __future__ import annotations

import itertools

import pytest
import torch

from sbn_deploy.estimators import create, exact_gradient, names, random_problem
from sbn_deploy.estimators.base import Estimator
from sbn_deploy.estimators.exact import (
    MAX_ARM_WIDTH,
    all_trajectories,
    cost_to_go,
    expected_loss,
    state_index,
    states,
)
from sbn_deploy.estimators.moments import Moments
from sbn_deploy.estimators.network import LOSSES, Problem
from sbn_deploy.nn import noise as noises
from sbn_runtime.errors import ConfigError

EXACT = 1e-12
OUTPUT = -1
LAST_HIDDEN = -2

every_noise = pytest.mark.parametrize("noise", noises.names())
every_loss = pytest.mark.parametrize("loss", [name for name in LOSSES if name != "softmax"])


def small(noise: str = "logistic", loss: str = "logistic") -> Problem:
    """The 4-3-3-1 network on which the figures below were found."""
    return random_problem((4, 3, 3, 1), seed=1, gain=1.3, noise=noise, loss=loss)


def exact_moments(name: str, problem: Problem) -> Moments:
    (estimator,) = create([name])
    moments = estimator.exact_moments(problem)
    assert moments is not None
    return moments


def relative_errors(name: str, problem: Problem, *, bias: bool = True) -> list[float]:
    """|E[g] - g*| / |g*| of each layer's weights, and biases."""
    columns = slice(None) if bias else slice(-1)
    return [
        float((mean - true)[:, columns].norm() / true[:, columns].norm())
        for mean, true in zip(
            exact_moments(name, problem).mean, exact_gradient(problem), strict=True
        )
    ]


def test_states_are_all_states_in_order() -> None:
    assert states(3).tolist() == [list(x) for x in itertools.product([-1.0, 1.0], repeat=3)]
    assert state_index(states(5)).tolist() == list(range(32))


@every_noise
@every_loss
def test_chain_and_trajectories_give_the_same_expected_loss(noise: str, loss: str) -> None:
    problem = small(noise, loss)
    trajectories = all_trajectories(problem)
    probabilities = trajectories.probabilities
    assert probabilities is not None
    assert float(probabilities.sum()) == pytest.approx(1, abs=EXACT)
    losses = problem.loss_of(trajectories.inputs[-1])
    assert float(expected_loss(problem)) == pytest.approx(float(probabilities @ losses), abs=EXACT)


def test_exact_gradient_is_the_slope_of_the_expected_loss() -> None:
    problem = small()
    step = 1e-6
    for layer, gradient in enumerate(exact_gradient(problem)):
        weight = problem.network.weights[layer]
        kept = float(weight[0, 1])
        values = []
        for shift in (step, -step):
            weight[0, 1] = kept + shift
            values.append(float(expected_loss(problem)))
        weight[0, 1] = kept
        slope = (values[0] - values[1]) / (2 * step)
        assert float(gradient[0, 1]) == pytest.approx(slope, abs=1e-8)


@every_noise
@every_loss
@pytest.mark.parametrize("name", ["reinforce", "arm"])
def test_reinforce_arm_and_exact_enumeration_agree(name: str, noise: str, loss: str) -> None:
    assert max(relative_errors(name, small(noise, loss))) < EXACT


@every_noise
@every_loss
@pytest.mark.parametrize("name", ["st", "st-identity", "st-hardtanh", "psa"])
def test_output_layer_is_exact_for_any_loss(name: str, noise: str, loss: str) -> None:
    assert relative_errors(name, small(noise, loss))[OUTPUT] < EXACT


@every_noise
def test_last_hidden_layer_is_exact_for_a_linear_loss(noise: str) -> None:
    assert relative_errors("st", small(noise, "linear"))[LAST_HIDDEN] < EXACT


@every_noise
def test_last_hidden_layer_of_psa_is_exact_for_any_loss(noise: str) -> None:
    for loss in ("logistic", "squared", "hinge"):
        assert relative_errors("psa", small(noise, loss))[LAST_HIDDEN] < EXACT


@every_noise
def test_psa_is_exact_for_two_layers_and_a_linear_loss(noise: str) -> None:
    assert max(relative_errors("psa", small(noise, "linear"))) < EXACT


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_deep_st_is_exact_under_uniform_noise_in_its_linear_range(depth: int) -> None:
    problem = random_problem(
        (4, *[3] * depth, 1), seed=2, gain=0.15, noise="uniform", loss="linear"
    )
    for layer in range(depth):
        weight, bias = problem.network.weights[layer], problem.network.biases[layer]
        assert bool((bias.abs() + weight.abs().sum(1) <= 1).all())
    assert max(relative_errors("st", problem)) < EXACT


def test_deep_st_is_not_exact_outside_the_linear_range() -> None:
    problem = random_problem((4, 3, 3, 1), seed=2, gain=3, noise="uniform", loss="linear")
    assert relative_errors("st", problem)[0] > 0.01


@every_noise
def test_first_layer_error_of_st_with_a_linear_loss(noise: str) -> None:
    error = relative_errors("st", small(noise, "linear"), bias=False)[0]
    assert 0.385 < error < 0.505


@every_noise
def test_second_layer_error_of_st_with_a_logistic_loss(noise: str) -> None:
    error = relative_errors("st", small(noise, "logistic"), bias=False)[1]
    assert 0.105 < error < 0.155


@every_noise
def test_first_layer_error_of_psa_with_a_logistic_loss(noise: str) -> None:
    error = relative_errors("psa", small(noise, "logistic"), bias=False)[0]
    assert 0.07 < error < 0.145


@every_noise
@every_loss
def test_psa_has_at_most_the_error_of_st_in_all_layers(noise: str, loss: str) -> None:
    problem = small(noise, loss)
    pairs = zip(relative_errors("psa", problem), relative_errors("st", problem), strict=True)
    assert all(psa <= st + EXACT for psa, st in pairs)


def test_st_with_hardtanh_is_st_of_uniform_noise() -> None:
    problem = small("uniform")
    for mean, other in zip(
        exact_moments("st-hardtanh", problem).mean, exact_moments("st", problem).mean, strict=True
    ):
        assert torch.equal(mean, other)


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("det-")])
def test_deterministic_estimators_have_no_variance(name: str) -> None:
    assert exact_moments(name, small()).variance == pytest.approx((0, 0, 0), abs=EXACT)


def test_st_of_one_layer_and_a_linear_loss_has_no_variance() -> None:
    problem = random_problem((4, 3, 1), seed=0, loss="linear")
    assert exact_moments("st", problem).variance[0] < EXACT


@pytest.mark.parametrize("noise", ["logistic", "uniform"])
@pytest.mark.parametrize("name", names())
def test_samples_agree_with_exact_moments(name: str, noise: str) -> None:
    """Within six standard errors and rounding, where exact moments are known.

    A variance is a mean square less a squared mean. In a sum of N numbers the rounding is
    at most N ulps, in whichever order a processor adds: that is what is left of no variance.
    """
    problem = small(noise)
    (estimator,) = create([name])
    exact = estimator.exact_moments(problem)
    if exact is None:
        assert name in ("gumbel", "gumbel-st")  # they are relaxed
        return
    samples = 100_000
    sampled = estimator.sampled_moments(problem, samples, torch.Generator().manual_seed(3))
    for layer, (mean, found) in enumerate(zip(exact.mean, sampled.mean, strict=True)):
        tolerance = 6 * sampled.squared_error(layer) ** 0.5 + EXACT
        assert float((mean - found).norm()) < tolerance
        square = exact.variance[layer] + float(mean.square().sum())
        rounding = samples * torch.finfo(mean.dtype).eps * square
        assert sampled.variance[layer] == pytest.approx(
            exact.variance[layer], rel=0.1, abs=rounding
        )


def test_relaxed_gumbel_is_exact_for_the_relaxed_network() -> None:
    """Its mean is the derivative of E[loss(tanh((a - z) / T))], found by quadrature."""
    problem = random_problem((2, 1, 1), seed=0)
    temperature = 0.7
    (estimator,) = create(["gumbel"], temperature)
    sampled = estimator.sampled_moments(problem, 200_000, torch.Generator().manual_seed(0))
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    z = problem.network.noise.quantile(u).unsqueeze(1)
    bias = problem.network.biases[0].clone().requires_grad_()
    a = problem.network.weights[0] @ problem.x + bias
    value = problem.loss_of(torch.tanh((a - z) / temperature)).mean()
    (derivative,) = torch.autograd.grad(value, bias)
    error = float((sampled.mean[0][:, -1] - derivative).norm())
    assert error < 6 * sampled.squared_error(0) ** 0.5


def test_gumbel_with_low_temperature_nears_the_exact_gradient() -> None:
    """The relaxation becomes the sign: less bias, more variance."""
    problem = random_problem((3, 2, 1), seed=0)
    exact = exact_gradient(problem)[0]
    found = []
    for temperature in (1.0, 0.05):
        (estimator,) = create(["gumbel"], temperature)
        moments = estimator.sampled_moments(problem, 200_000, torch.Generator().manual_seed(0))
        found.append((float((moments.mean[0] - exact).norm()), moments.variance[0]))
    (warm_bias, warm_variance), (cold_bias, cold_variance) = found
    assert cold_bias < warm_bias
    assert cold_variance > warm_variance


def test_cost_to_go_of_the_square_is_a_second_moment() -> None:
    problem = small()
    for value, square in zip(cost_to_go(problem), cost_to_go(problem, power=2), strict=True):
        assert bool((square >= value.square() - EXACT).all())


def test_wide_networks_are_sampled() -> None:
    problem = random_problem((4, MAX_ARM_WIDTH + 10, 1), seed=0)
    estimators: list[Estimator] = create(["st", "psa", "reinforce", "arm"])
    assert all(estimator.exact_moments(problem) is None for estimator in estimators)


@pytest.mark.parametrize(
    ("dims", "options"),
    [
        ((4, 1), {}),
        ((4, 0, 1), {}),
        ((4, 3, 1), {"loss": "softmax"}),
        ((4, 3, 1), {"loss": "absolute"}),
        ((4, 3, 1), {"noise": "pink"}),
    ],
)
def test_bad_problems_are_refused(dims: tuple[int, ...], options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        random_problem(dims, seed=0, **options)  # type: ignore[arg-type]


def test_bad_estimators_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown estimator 'magic'"):
        create(["st", "magic"])
    with pytest.raises(ConfigError, match="temperature"):
        create(["gumbel"], temperature=0.0)
