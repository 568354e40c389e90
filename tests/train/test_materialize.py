"""Materialised networks: deterministic, seeded, with the right probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sbn_deploy.materialize import materialize
from sbn_deploy.nn import (
    BinaryConv2d,
    BinaryLinear,
    FixedConv,
    FixedLinear,
    Sign,
    StochasticSign,
    models,
)
from sbn_runtime.errors import ArtifactError, ConfigError


@pytest.fixture
def model() -> models.Network:
    torch.manual_seed(0)
    return models.create("digits-cnn", width=4)


def weights_of(module: nn.Module) -> list[Tensor]:
    return [m.weight for m in module.modules() if isinstance(m, (FixedConv, FixedLinear))]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights_of(a), weights_of(b), strict=True))


def test_threshold_is_the_network_in_evaluation_mode(model: models.Network) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (member,) = materialize(model)
    x = torch.randn(6, 1, 8, 8)
    assert torch.equal(member(x), model.eval()(x))
    assert not member.training
    assert not any(
        isinstance(m, (BinaryConv2d, BinaryLinear, StochasticSign)) for m in member.modules()
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_members_depend_on_seed_and_index_only(model: models.Network) -> None:
    torch.manual_seed(1)
    eight = materialize(model, weights="sample", members=8, seed=3)
    torch.manual_seed(2)
    three = materialize(model, weights="sample", members=3, seed=3)
    assert all(same(a, b) for a, b in zip(three, eight, strict=False))
    assert not same(eight[0], eight[1])
    assert not same(eight[0], materialize(model, weights="sample", seed=4)[0])
    largest = materialize(model, weights="sample", seed=2**64 - 1)[0]
    assert {value for w in weights_of(largest) for value in w.unique().tolist()} == {-1.0, 1.0}


def test_layers_of_one_shape_get_different_weights() -> None:
    net = nn.Sequential(BinaryLinear(64, 64), BinaryLinear(64, 64))
    with torch.no_grad():
        for layer in net:
            layer.latent.zero_()
    first, second = weights_of(materialize(net, weights="sample")[0])
    assert not torch.equal(first, second)


def test_sampled_weights_have_their_probabilities() -> None:
    layer = BinaryLinear(1000, 9, noise="uniform")
    probability = torch.linspace(0, 1, 9)
    with torch.no_grad():
        layer.latent.copy_((2 * probability - 1)[:, None].expand(9, 1000))
    members = materialize(layer, weights="sample", members=40)
    found = (torch.stack([weights_of(m)[0] for m in members]) > 0).double().mean((0, 2))
    # Six standard deviations of a mean of 40,000 draws.
    assert float((found - probability).abs().max()) < 3 / math.sqrt(40_000)
    assert (found[0], found[-1]) == (0, 1)


def test_residual_networks_and_shared_layers() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = BinaryConv2d(3, 3, 3, padding=1)
            self.again = self.conv
            self.sign = StochasticSign()

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.conv(self.sign(x))
            return x + self.again(self.sign(x))

    torch.manual_seed(0)
    net = Residual()
    (member,) = materialize(net)
    assert member.conv is member.again
    assert isinstance(member.sign, Sign)
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(member(x), net.eval()(x))


def test_calibration_sets_batchnorm_statistics() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(BinaryLinear(16, 8), nn.BatchNorm1d(8), StochasticSign())
    x = torch.randn(600, 16)
    (member,) = materialize(net, calibration=x)
    products = x @ weights_of(member)[0].T
    halves = torch.tensor_split(products, 2)
    mean = sum(half.mean(0) for half in halves) / 2
    variance = sum(half.var(0) for half in halves) / 2
    torch.testing.assert_close(member[1].running_mean, mean)
    torch.testing.assert_close(member[1].running_var, variance)
    assert not member[1].training
    assert torch.equal(net[1].running_mean, torch.zeros(8))


def test_twin_passes_through() -> None:
    twin = models.create_twin("digits-cnn", width=4).eval()
    (member,) = materialize(twin)
    x = torch.randn(2, 1, 8, 8)
    assert member is not twin
    assert torch.equal(member(x), twin(x))


def test_bad_arguments_are_errors(model: models.Network) -> None:
    with pytest.raises(ConfigError, match="members is 0"):
        materialize(model, weights="sample", members=0)
    with pytest.raises(ConfigError, match="one network"):
        materialize(model, members=2)
    with pytest.raises(ConfigError, match="seed is -1"):
        materialize(model, weights="sample", seed=-1)
    with pytest.raises(ConfigError, match="weights is 'mode'"):
        materialize(model, weights="mode")  # type: ignore[arg-type]
    with torch.no_grad():
        model.stage2.conv.latent[0, 0, 0, 0] = math.nan
    with pytest.raises(ArtifactError, match=r"stage2\.conv"):
        materialize(model)


def test_calibration_does_not_depend_on_memory_layout() -> None:
    torch.manual_seed(0)
    model = models.create("cifar-vgg-s", width=4, size=16)
    x = (2 * torch.randint(0, 256, (100, 3, 16, 16)) - 255) / 255
    (plain,) = materialize(model, calibration=x)
    model.to(memory_format=torch.channels_last)
    (other,) = materialize(model, calibration=x.contiguous(memory_format=torch.channels_last))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
