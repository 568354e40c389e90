"""`binarize`: which layers, what they read, what stays, and from which latents they start."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbn_deploy.materialize import materialize
from sbn_deploy.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryLayer,
    BinaryLinear,
    DeterministicSign,
    FixedConv,
    FixedLinear,
    StochasticSign,
    binarize,
)
from sbn_deploy.nn.estimator import sign
from sbn_deploy.nn.latents import latents_of
from sbn_runtime.errors import ConfigError
from tests.nn.float_networks import (
    Bottleneck,
    Guarded,
    MobileNet,
    ResNet,
    Sequences,
    Vgg,
    signals,
)

IMAGES, SIGNALS, SEQUENCES = (4, 3, 16, 16), (4, 1, 64), (4, 6, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[str]]] = {
    "vgg": (Vgg, IMAGES, ["features.4", "features.7", "classifier.0", "classifier.3"]),
    "vgg without norms": (
        lambda: Vgg(norms=False),
        IMAGES,
        ["features.3", "features.5", "classifier.0", "classifier.3"],
    ),
    "resnet": (
        ResNet,
        IMAGES,
        ["layer1.conv1", "layer1.conv2", "layer2.conv1", "layer2.conv2"],
    ),
    "bottleneck": (Bottleneck, IMAGES, ["conv1", "conv2", "conv3"]),
    "mobilenet": (MobileNet, IMAGES, ["block.0", "block.7", "again.0", "again.6"]),
    "signals": (signals, SIGNALS, ["4", "7"]),
    "sequences": (Sequences, SEQUENCES, ["widen", "narrow"]),
    "guarded": (Guarded, IMAGES, ["features.3", "conv"]),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def made(name: str) -> tuple[nn.Module, Tensor]:
    """A network with random batch-norms, and an input."""
    torch.manual_seed(0)
    make, shape, _ = NETWORKS[name]
    model = make()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return model, torch.randn(shape)


def seen(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each binary layer reads in a forward pass."""
    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, BinaryLayer):
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: found.__setitem__(name, inputs[0].detach())
            )
    model(x)
    return found


@each_network
def test_the_layers_that_are_worth_it_become_binary(name: str) -> None:
    model, x = made(name)
    before = copy.deepcopy(model.state_dict())
    result = binarize(model)
    assert result.binary == NETWORKS[name][2]
    assert result.model(x).shape == model(x).shape
    assert [n for n, m in result.model.named_modules() if isinstance(m, BinaryLayer)] == [
        f"{layer}.layer" for layer in result.binary
    ]
    after = binarize(model.eval()).model
    assert not any(module.training for module in after.modules())
    # The float network is as it was, but for what its own forward changes.
    for key, tensor in model.state_dict().items():
        if "running" not in key and "tracked" not in key:
            assert torch.equal(tensor, before[key])
    assert sum(isinstance(m, BinaryLayer) for m in model.modules()) == 0


@each_network
def test_binary_layers_read_signs_of_both_kinds(name: str) -> None:
    model, x = made(name)
    result = binarize(model, sign=lambda: DeterministicSign("tanh"))
    inputs = seen(result.model, x)
    assert inputs.keys() == {f"{layer}.layer" for layer in result.binary}
    for layer, value in inputs.items():
        assert torch.equal(value.abs(), torch.ones_like(value)), layer
        # A rectifier before the sign would leave nothing but +1.
        assert 0.1 < float((value > 0).double().mean()) < 0.9, layer


@each_network
def test_thresholding_gives_the_signs_of_the_float_weights(name: str) -> None:
    model, _ = made(name)
    result = binarize(model)
    (fixed,) = materialize(result.model)
    for layer in result.binary:
        weight = model.get_submodule(layer).weight
        binary = fixed.get_submodule(f"{layer}.layer")
        if isinstance(binary, nn.Sequential):
            assert torch.allclose(binary[1].scale, weight.abs().flatten(1).mean(1))
            binary = binary[0]
        assert isinstance(binary, (FixedConv, FixedLinear))
        assert torch.equal(binary.weight, sign(weight))


@each_network
def test_everything_learns(name: str) -> None:
    model, x = made(name)
    trained = binarize(model).model
    y = trained(torch.cat([x, x.flip(-1), -x]))
    (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    still = [
        name
        for name, parameter in trained.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert still == []


def test_latents_have_the_spread_of_an_initialisation() -> None:
    weight = 0.01 * torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    latents = latents_of(weight, 2.0)
    assert latents.dtype == weight.dtype
    torch.testing.assert_close(latents.square().mean().sqrt(), torch.tensor(2.0))
    torch.testing.assert_close(latents / latents[0, 0, 0, 0], weight / weight[0, 0, 0, 0])
    layer = binarize(signals(), init_std=0.5, noise="uniform").model.get_submodule("4.layer")
    torch.testing.assert_close(layer.latent.square().mean().sqrt(), torch.tensor(0.5))
    assert layer.noise.name == "uniform"
    assert torch.equal(latents_of(torch.zeros(3), 2.0), torch.zeros(3))
    with pytest.raises(ConfigError, match="NaN or infinite"):
        latents_of(torch.tensor([1.0, float("nan")]), 2.0)


def test_a_residual_network_by_hand() -> None:
    """The rewritten graph computes what the rules say, in-place rectifiers and all."""
    model, x = made("resnet")
    result = binarize(model, sign=lambda: DeterministicSign("tanh"))
    net = result.model
    for _ in range(3):
        net(x)
    net.eval()
    part = net.get_submodule

    def layer(name: str, value: Tensor) -> Tensor:
        y: Tensor = part(f"{name}.layer")(sign(value))
        return y

    stem = part("bn1")(part("conv1")(x))
    pool = nn.MaxPool2d(3, 2, 1)
    # The first layer of block 1 reads before the rectifier that the shortcut reads.
    out = part("layer1.bn1")(layer("layer1.conv1", part("layer1.conv1.norm")(pool(stem))))
    summed = part("layer1.bn2")(layer("layer1.conv2", out)) + pool(F.relu(stem))
    out = part("layer2.bn1")(layer("layer2.conv1", part("layer2.conv1.norm")(summed)))
    shortcut = part("layer2.downsample.1")(part("layer2.downsample.0")(F.relu(summed)))
    out = F.relu(part("layer2.bn2")(layer("layer2.conv2", out)) + shortcut)
    expected = part("fc")(out.mean((2, 3)))
    torch.testing.assert_close(net(x), expected)

    said = {(change.name, change.what) for change in result.changes}
    assert said >= {
        ("relu", "kept"),
        ("layer1.relu", "dropped"),
        ("layer1.relu", "kept"),
        ("layer2.relu", "dropped"),
        ("conv1", "float"),
        ("layer2.downsample.0", "float"),
        ("fc", "float"),
    }
    assert ("layer2.relu", "kept") not in said


def test_max_pools_change_places_with_the_norm() -> None:
    model, x = made("signals")
    result = binarize(model)
    assert ("3", "moved") in {(change.name, change.what) for change in result.changes}
    net = result.model.eval()
    part = net.get_submodule
    y = part("1")(F.max_pool1d(part("0")(x), 2))
    y = part("5")(part("4.layer")(sign(y)))
    y = F.relu(part("8")(part("7.layer")(sign(y))))
    torch.testing.assert_close(net(x), part("12")(y.mean(2)))


def test_functional_dropout_follows_the_mode() -> None:
    model, x = made("resnet")
    net = binarize(model, sign=lambda: DeterministicSign("tanh"), train_forward="mean").model
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_without_norms_scales_and_biases_stay_where_no_norm_follows() -> None:
    model, x = made("vgg without norms")
    net = binarize(model).model
    for name, absorbed in (
        ("features.3", True),
        ("features.5", True),
        ("classifier.0", True),
        ("classifier.3", False),
    ):
        parts = dict(net.get_submodule(name).named_children())
        assert list(parts) == ["norm", "sign", "layer"] + ([] if absorbed else ["bias"])
        assert (parts["layer"].scale is None) == absorbed
        if not absorbed:
            assert torch.equal(parts["bias"].bias, model.get_submodule(name).bias)
    net.eval()
    head = net.get_submodule("classifier.3")
    y = torch.randn(2, 64)
    bits = sign(head.norm(y))
    weight = model.classifier[3].weight
    expected = (bits @ sign(weight).T) * weight.abs().mean(1) + model.classifier[3].bias
    torch.testing.assert_close(head(y), expected)
    assert net(x).shape == (4, 10)


def test_geometry_stays() -> None:
    torch.manual_seed(0)
    net = binarize(Bottleneck(), padding_value=-1.0).model
    conv = net.get_submodule("conv2.layer")
    assert isinstance(conv, BinaryConv2d)
    geometry = conv.geometry
    assert (geometry.stride, geometry.padding, geometry.dilation) == ((2, 2), (2, 2), (2, 2))
    assert (geometry.groups, geometry.padding_value) == (2, -1.0)
    signal = binarize(signals()).model
    assert signal.get_submodule("4.layer").geometry.padding == (2,)
    strided = signal.get_submodule("7.layer")
    assert isinstance(strided, BinaryConv1d)
    assert (strided.geometry.stride, strided.geometry.dilation) == ((2,), (2,))


def chain(*layers: nn.Module) -> nn.Sequential:
    """A network whose first and last layers are others than those to be tested."""
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *layers, nn.Conv2d(8, 8, 1))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), "depthwise"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "do not pad with 'reflect'"),
        (nn.Conv2d(8, 8, 4, padding="same"), "differs from side to side"),
        (nn.ConvTranspose2d(8, 8, 3), "no binary layer for ConvTranspose2d"),
    ],
)
def test_layers_without_a_binary_form_stay_float(layer: nn.Module, why: str) -> None:
    net = chain(layer, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
    result = binarize(net)
    assert result.binary == ["5"]
    (change,) = (change for change in result.changes if change.name == "2")
    assert change.what == "float"
    assert why in change.why
    if "depthwise" in why:
        assert binarize(net, layers=["2"]).binary == ["2"]


def test_layers_are_chosen_by_name_pattern_or_function() -> None:
    model, x = made("resnet")
    assert binarize(model, layers=["layer2.*"]).binary == [
        "layer2.conv1",
        "layer2.conv2",
        "layer2.downsample.0",
    ]
    assert binarize(model, layers=["layer1.conv2", "fc"]).binary == ["layer1.conv2", "fc"]

    def wide(name: str, layer: nn.Module) -> bool:
        return isinstance(layer, nn.Conv2d) and layer.out_channels == 32

    result = binarize(model, layers=wide)
    assert result.binary == ["layer2.conv1", "layer2.conv2", "layer2.downsample.0"]
    assert result.model(x).shape == (4, 10)


def test_a_shared_layer_is_replaced_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
            self.norm, self.middle = nn.BatchNorm1d(16), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            x = self.middle(F.relu(self.norm(self.first(x))))
            y: Tensor = self.last(F.relu(self.middle(F.relu(x))))
            return y

    result = binarize(Twice())
    assert result.binary == ["middle"]
    parts = dict(result.model.get_submodule("middle").named_children())
    # One of its calls reads no norm, and one feeds no norm.
    assert list(parts) == ["norm", "sign", "layer", "bias"]
    for value in seen(result.model, torch.randn(32, 6)).values():
        assert 0.1 < float((value > 0).double().mean()) < 0.9


def test_optional_arguments_keep_their_defaults() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Vgg()

        def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 1.0) -> Any:
            y = self.net(x)
            return y * scale if mask is None else y * mask

    result = binarize(Optional())
    assert len(result.binary) == 4
    assert result.model(torch.randn(IMAGES)).shape == (4, 10)


def test_the_table_says_what_and_why() -> None:
    result = binarize(signals())
    lines = str(result).splitlines()
    assert len(lines) == len(result.changes)
    assert lines[0].split(None, 2) == [
        "0",
        "float",
        "the first layer: its input is data, whose signs say little",
    ]
    assert any(line.startswith("2 ") and "the sign of 4 takes its place" in line for line in lines)


def test_what_cannot_be_followed_is_said() -> None:
    result = binarize(Guarded())
    note, *changes = result.changes
    assert note.what == "note"
    assert "in the order in which they are registered" in note.why
    parts = dict(result.model.conv.named_children())
    assert list(parts) == ["norm", "sign", "layer", "bias"]
    assert list(dict(result.model.features[3].named_children())) == ["sign", "layer"]
    assert isinstance(result.model.features[2], nn.Identity)
    by_name = {change.name: change for change in changes}
    assert "shortcut" in by_name["skip"].why
    # The projection inside attention is no layer that is called.
    assert "attention.out_proj" not in by_name


def test_options_reach_the_layers() -> None:
    model, _ = made("vgg")
    net = binarize(model, local_reparametrization=True, weight_gradient="proxy").model
    layer = net.get_submodule("classifier.0.layer")
    assert isinstance(layer, BinaryLinear)
    assert layer.local_reparametrization
    assert layer.weight_gradient == "proxy"
    assert isinstance(net.get_submodule("classifier.0.sign"), StochasticSign)
    halves = binarize(model.to(torch.float64)).model
    assert halves.get_submodule("features.4.layer").latent.dtype == torch.float64


def test_the_random_state_is_left_alone() -> None:
    model, _ = made("vgg")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    binarize(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_that_cannot_be_binarized_are_errors() -> None:
    small = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ConfigError, match=r"no layer of Sequential becomes binary .*0 is"):
        binarize(small)
    assert binarize(small, layers=["2"]).binary == ["2"]
    with pytest.raises(ConfigError, match=r"among those asked for; it has 0, 2$"):
        binarize(small, layers=["features.*"])
    with pytest.raises(ConfigError, match="calls no convolution and no linear layer"):
        binarize(nn.Sequential(nn.ReLU()))
    model, _ = made("vgg")
    with torch.no_grad():
        model.features[4].weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(
        ConfigError, match=r"cannot binarize features\.4: some weights are NaN or infinite"
    ):
        binarize(model)
    with pytest.raises(ConfigError, match=r"cannot binarize 4: unknown noise 'pink'"):
        binarize(signals(), noise="pink")
