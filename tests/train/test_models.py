"""The registry, and what every registered architecture promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sbn_deploy.nn import models
from sbn_deploy.nn.models import Layers, Network
from sbn_runtime.errors import ConfigError

each_arch = pytest.mark.parametrize("arch", models.names())


@each_arch
def test_configuration_recreates_the_network(arch: str) -> None:
    torch.manual_seed(0)
    model = models.create(arch, activation_noise="uniform")
    torch.manual_seed(0)
    again = models.create(arch, **model.config)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        other = again.state_dict()[name]
        torch.testing.assert_close(other, tensor, rtol=0, atol=0, equal_nan=True)


@each_arch
def test_twin_has_the_same_shapes(arch: str) -> None:
    model = models.create(arch)
    twin = models.create_twin(arch, **model.config)
    assert (model.kind, twin.kind) == ("sbn", "fp32")
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert [tuple(p.shape) for p in twin.parameters()] == shapes
    x = torch.randn(3, *models.input_shape(model.config))
    assert model(x).shape == twin(x).shape == (3, model.config["classes"])


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("digits-cnn", [4, 10]),
        ("cifar-vgg-s", [8, 24]),
        ("quicknet-small", [32, 64]),
        ("sounds-cnn", [9, 33]),
    ],
)
def test_images_need_not_be_square(arch: str, size: list[int]) -> None:
    model = models.create(arch, size=size, channels=3, classes=2)
    assert models.input_shape(model.config) == (3, *size)
    twin = models.create_twin(arch, **model.config)
    x = torch.randn(2, 3, *size)
    assert model(x).shape == twin(x).shape == (2, 2)
    assert models.create(arch, **model.config).config == model.config


def test_signals_of_any_length() -> None:
    for length in (8, 33, 100):
        model = models.create("signals-cnn", channels=2, length=length, classes=3, width=4)
        assert models.input_shape(model.config) == (2, length)
        assert model(torch.randn(2, 2, length)).shape == (2, 3)
    with pytest.raises(ConfigError, match="length of at least 8"):
        models.create("signals-cnn", length=7)


def test_first_layer_of_digits_cnn_is_exact() -> None:
    model = models.create("digits-cnn").eval()
    x = torch.randint(0, 17, (16, 1, 8, 8)) / 8 - 1
    conv = model.stage1.conv
    assert torch.equal(conv(x).double(), conv.double()(x.double()))


def test_a_new_architecture_registers_itself() -> None:
    class Tiny(Network, arch="test-tiny"):
        def __init__(self, layers: Layers, *, channels: int, size: int, classes: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Flatten(), layers.activation(), layers.linear(channels * size**2, classes)
            )

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(x)
            return out

    model = models.create("test-tiny", channels=2, size=3, classes=4)
    assert isinstance(model, Tiny)
    assert model(torch.randn(5, 2, 3, 3)).shape == (5, 4)
    with pytest.raises(ConfigError, match="exists"):

        class Other(Tiny, arch="digits-cnn"):
            pass

    with pytest.raises(ConfigError, match="test-tiny needs channels, size"):
        models.create("test-tiny", classes=2)


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"architecture 'vgg'; choose one of .*digits-cnn"):
        models.create("vgg")
    with pytest.raises(ConfigError, match="no setting depth"):
        models.create("digits-cnn", depth=2)
    with pytest.raises(ConfigError, match=r"size is \[32, 40\]; .* multiples of 32"):
        models.create("quicknet-small", size=[32, 40])
    with pytest.raises(ConfigError, match=r"size is \[8, 8, 8\]"):
        models.create("digits-cnn", size=[8, 8, 8])
    with pytest.raises(ConfigError, match=r"size is 3; height and width must be at least 4"):
        models.create("digits-cnn", size=3)
