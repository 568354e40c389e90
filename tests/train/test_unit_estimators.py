"""Estimators that networks are trained with, against their definitions in `sbn estimators`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sbn_deploy import estimators
from sbn_deploy.estimators import Problem, random_problem
from sbn_deploy.estimators.exact import all_trajectories
from sbn_deploy.estimators.moments import Accumulator
from sbn_deploy.nn import StochasticSign, estimator, noise, set_train_forward, storage
from sbn_deploy.nn.unit_estimators import NAMES, forward_of, set_estimator
from sbn_deploy.settings import RenamedWarning
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig, load
from sbn_deploy.train.loop import train
from sbn_runtime.errors import ConfigError

from ..few_steps import few_steps

GUMBEL = [name for name in NAMES if name.startswith("gumbel")]
OTHERS = [name for name in NAMES if name not in GUMBEL]
TEMPERATURE = 0.7
each_noise = pytest.mark.parametrize("kind", noise.names())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return few_steps(tmp_path_factory.mktemp("set"))


def network(problem: Problem, name: str) -> nn.Sequential:
    """The same network of torch's layers and ours, in training mode."""
    layers: list[nn.Module] = []
    for weight, bias in zip(problem.network.weights, problem.network.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, StochasticSign(problem.network.noise)]
    model = nn.Sequential(*layers[:-1])
    set_estimator(model, name, TEMPERATURE)
    set_train_forward(model, activations=forward_of(name))
    return model


def gradients(model: nn.Sequential, problem: Problem, weights: Tensor) -> list[Tensor]:
    """Of the loss of so many copies of the example, weighted: [n_k, n_{k-1} + 1] of each layer."""
    losses = problem.loss(model(problem.x.expand(len(weights), -1)), problem.y)
    torch.autograd.backward((weights * losses).sum())
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    found = [(layer.weight.grad, layer.bias.grad) for layer in linear]
    return [torch.cat([w, b.unsqueeze(1)], 1) for w, b in found if w is not None and b is not None]


@each_noise
@pytest.mark.parametrize("name", OTHERS)
def test_expected_gradients_are_those_of_the_definition(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = random_problem((4, 3, 3, 2), seed=3, gain=1.3, noise=kind, loss="softmax")
    (defined,) = estimators.create([name])
    expected = defined.exact_moments(problem)
    assert expected is not None
    if forward_of(name) == "sampled":
        # Every outcome of all units once, weighted by its probability.
        outcomes = all_trajectories(problem)
        assert outcomes.probabilities is not None
        weights, states = outcomes.probabilities, iter(outcomes.inputs[1:])
        monkeypatch.setattr(estimator, "sample_sign", lambda *_: next(states))
    else:
        weights = torch.ones(1, dtype=torch.float64)
    found = gradients(network(problem, name), problem, weights)
    for layer, mean in zip(found, expected.mean, strict=True):
        torch.testing.assert_close(layer, mean, rtol=0, atol=1e-12)


@each_noise
@pytest.mark.parametrize("name", GUMBEL)
def test_gumbel_softmax_of_the_same_noise_is_that_of_the_definition(name: str, kind: str) -> None:
    problem = random_problem((4, 3, 3, 2), seed=3, noise=kind, loss="softmax")
    (defined,) = estimators.create([name], TEMPERATURE)
    total = Accumulator()
    total.add(defined.sample(problem, 50, torch.Generator().manual_seed(1)))
    model, weights = network(problem, name), torch.full((50,), 1 / 50, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found = gradients(model, problem, weights)
    for layer, mean in zip(found, total.moments().mean, strict=True):
        torch.testing.assert_close(layer, mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", GUMBEL)
def test_gumbel_softmax_without_noise_is_a_sign(name: str) -> None:
    layer = StochasticSign(train_forward="deterministic")
    set_estimator(layer, name, TEMPERATURE)
    a = torch.tensor([-1.0, -0.0, 0.0, 0.3], requires_grad=True)
    x = layer(a)
    assert x.tolist() == [-1, 1, 1, 1]
    (slope,) = torch.autograd.grad(x.sum(), a)
    torch.testing.assert_close(slope, (1 - torch.tanh(a / TEMPERATURE) ** 2) / TEMPERATURE)
    layer.train_forward = "mean"
    with pytest.raises(ConfigError, match="is not sampled"):
        layer(a)


@pytest.mark.parametrize("name", GUMBEL)
def test_the_dtype_is_kept(name: str) -> None:
    layer = StochasticSign()
    set_estimator(layer, name)
    assert layer(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_an_estimator_trains_or_says_why_not(tmp_path: Path) -> None:
    for measured in estimators.create(estimators.names()):
        assert bool(measured.no_training) != (measured.name in NAMES)
        if measured.no_training:
            with pytest.raises(ConfigError, match=measured.no_training):
                TrainConfig(out=tmp_path, estimator=measured.name)


def test_every_estimator_trains_a_network_of_its_own(tmp_path: Path, small: dict[str, Any]) -> None:
    digests = set()
    for name in NAMES:
        result = train(TrainConfig(out=tmp_path / name, estimator=name, **small))
        assert result.metrics["recipe"]["estimator"] == name
        digests.add(result.checkpoint_path.read_bytes())
    assert len(digests) == len(NAMES)
    # The same network, said otherwise.
    same = train(TrainConfig(out=tmp_path / "same", activations="deterministic", **small))
    assert same.checkpoint_path.read_bytes() in digests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "gumbl"}, "unknown estimator 'gumbl'; did you mean gumbel"),
        ({"estimator": "gumbel", "activations": "mean"}, "leave activations out"),
        ({"estimator": "gumbel", "model": {"surrogate": "tanh"}}, "leave one of them out"),
        ({"estimator": "gumbel", "twin": True}, "does not apply to the fp32 twin"),
        ({"gumbel_temperature": 0.1}, "is for the estimators gumbel and gumbel-st"),
    ],
)
def test_settings_that_contradict(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(out=tmp_path, **settings)


def test_a_network_without_stochastic_signs_has_no_estimator() -> None:
    set_estimator(nn.ReLU(), "st")
    with pytest.raises(ConfigError, match="is for stochastic signs, and the network has none"):
        set_estimator(nn.ReLU(), "gumbel")


def test_bad_estimators_are_errors() -> None:
    with pytest.raises(ConfigError, match="unknown estimator 'det-gumbel'"):
        set_estimator(StochasticSign(), "det-gumbel")
    with pytest.raises(ConfigError, match="the temperature is 0"):
        set_estimator(StochasticSign(), "gumbel", 0)


def test_the_weights_gradient_by_its_old_name(tmp_path: Path) -> None:
    with pytest.warns(RenamedWarning, match=r"model\.weight_gradient"):
        config = load(None, ["model.estimator=proxy"], out=tmp_path)
    assert config.model == {"weight_gradient": "proxy"}
    # A network of someone's own may have a setting of this name.
    own = load(None, ["model.estimator=proxy"], out=tmp_path, arch="net.py:build")
    assert own.model == {"estimator": "proxy"}


def test_checkpoints_with_the_old_name_are_read(tmp_path: Path, small: dict[str, Any]) -> None:
    made = train(TrainConfig(out=tmp_path, **small)).checkpoint_path
    tensors, header = storage.read(made, format=checkpoint.FORMAT, version=checkpoint.VERSION)
    header["config"]["estimator"] = header["config"].pop("weight_gradient")
    storage.write(made, tensors, header)
    model, read = checkpoint.load(made)
    assert read.config["weight_gradient"] == "identity"
    assert "estimator" not in read.config
    assert model.config == read.config
    own = checkpoint.Header.parse(header | {"config": {"estimator": "of mine"}}, made)
    assert own.config == {"estimator": "of mine"}
