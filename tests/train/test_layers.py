"""Options of layers: scales, local reparametrisation, integer first layers, modes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sbn_deploy.materialize import materialize
from sbn_deploy.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryLayer,
    BinaryLinear,
    ChannelScale,
    FixedConv,
    InputConv2d,
    StochasticSign,
    set_eval_forward,
    set_train_forward,
    set_weight_generator,
)
from sbn_deploy.nn.estimator import sign
from sbn_runtime.errors import ConfigError

each_layer = pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **options: BinaryLinear(12, 5, **options), (3, 12)),
        (lambda **options: BinaryLinear(12, 5, **options), (2, 7, 12)),
        (lambda **options: BinaryConv1d(4, 5, 3, padding=1, **options), (3, 4, 9)),
        (lambda **options: BinaryConv2d(4, 5, 3, padding=1, **options), (3, 4, 6, 6)),
    ],
    ids=["linear", "sequences", "conv1d", "conv2d"],
)
Make = Callable[..., BinaryLayer]


def pixels(*shape: int) -> tuple[Tensor, Tensor]:
    """8-bit images and their normalised values."""
    image = torch.randint(0, 256, shape)
    return image, (image.float() / 255 - 0.5) / 0.5


@each_layer
def test_scales_act_after_the_sums(make: Make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = make(scale=True).eval()
    plain = make().eval()
    with torch.no_grad():
        plain.latent.copy_(layer.latent)
        layer.scale.copy_(torch.linspace(-1, 2, 5))
    x = sign(torch.randn(shape))
    axis = -1 if isinstance(layer, BinaryLinear) else 1
    expected = (plain(x).movedim(axis, -1) * layer.scale).movedim(-1, axis)
    torch.testing.assert_close(layer(x), expected)
    (member,) = materialize(layer)
    assert torch.equal(member(x), layer(x))
    assert isinstance(member[1], ChannelScale)
    assert set(member[0].weight.unique().tolist()) == {-1.0, 1.0}


@each_layer
def test_local_reparametrisation_has_the_moments_of_sampled_weights(
    make: Make, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    local = make(local_reparametrization=True, init_std=0.5)
    sampled = make(init_std=0.5)
    with torch.no_grad():
        sampled.latent.copy_(local.latent)
        x = torch.randn(shape)
        count = 2000
        draws = [torch.stack([layer(x) for _ in range(count)]) for layer in (local, sampled)]
    spread = draws[1].std(0)
    # Six standard deviations of a difference of means, and of a ratio of variances.
    assert float(((draws[0].mean(0) - draws[1].mean(0)).abs() / spread).max()) < 6 * math.sqrt(
        2 / count
    )
    assert float((draws[0].var(0) / spread.square() - 1).abs().max()) < 6 * math.sqrt(4 / count)
    local.eval()
    assert torch.equal(local(x), sampled.eval()(x))


def test_local_reparametrisation_trains_the_mean() -> None:
    layer = BinaryLinear(6, 4, local_reparametrization=True, weight_gradient="proxy")
    layer(torch.randn(8, 6)).square().sum().backward()
    assert layer.latent.grad.abs().min() > 0
    with pytest.raises(ConfigError, match="local reparametrisation samples"):
        BinaryLinear(6, 4, local_reparametrization=True, train_forward="mean")


@pytest.mark.parametrize("weights", ["int8", "binary"])
@pytest.mark.parametrize("border", [-1.0, 0.0, 1.0])
def test_first_layer_computes_in_exact_integers(weights: str, border: float) -> None:
    torch.manual_seed(0)
    layer = InputConv2d(3, 7, 3, weights=weights, padding=1, padding_value=border).eval()
    image, x = pixels(4, 3, 9, 9)
    (member,) = materialize(layer)
    weight = member.conv.weight.long()
    assert torch.equal(weight.float(), member.conv.weight)
    assert weight.abs().amax((1, 2, 3)).tolist() == [127 if weights == "int8" else 1] * 7
    padded = torch.full((4, 3, 11, 11), int(border) * 255)
    padded[:, :, 1:-1, 1:-1] = 2 * image - 255
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
    expected = torch.einsum("nchwij,ocij->nohw", windows, weight)
    assert torch.equal(layer(x).long(), expected)
    assert torch.equal(member(x), expected.float())
    assert isinstance(member.conv, FixedConv)


def test_first_layer_passes_gradients_through_the_rounding() -> None:
    torch.manual_seed(0)
    layer = InputConv2d(3, 4, 3)
    _, x = pixels(2, 3, 5, 5)
    sums = layer(x)
    incoming = torch.randn_like(sums)
    sums.backward(incoming)
    weight = layer.conv.integer_weight().detach().requires_grad_()
    layer.conv.geometry.convolve(torch.round(x * 255), weight).backward(incoming)
    scale = layer.conv.weight.detach().abs().amax((1, 2, 3), keepdim=True) / 127
    torch.testing.assert_close(layer.conv.weight.grad, weight.grad / scale)


def test_first_layer_does_not_depend_on_the_size_of_its_weights() -> None:
    torch.manual_seed(0)
    layer = InputConv2d(3, 4, 3)
    before = layer.conv.integer_weight()
    with torch.no_grad():
        layer.conv.weight.mul_(torch.tensor([1.0, 2.0, 0.25, 0.0]).view(-1, 1, 1, 1))
    after = layer.conv.integer_weight()
    assert torch.equal(after[:3], before[:3])
    assert (after[3] == 0).all()


def test_modes_of_a_whole_network() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(BinaryLinear(50, 50), nn.BatchNorm1d(50), StochasticSign())
    x = torch.randn(8, 50)
    assert not torch.equal(net(x), net(x))
    set_train_forward(net, activations="deterministic")
    assert not torch.equal(net(x), net(x))
    set_train_forward(net, weights="deterministic")
    assert torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    set_eval_forward(net, weights="sampled")
    assert not torch.equal(net(x), net(x))
    set_weight_generator(net, torch.Generator().manual_seed(1))
    first = net(x)
    set_weight_generator(net, torch.Generator().manual_seed(1))
    assert torch.equal(net(x), first)
    with pytest.raises(ConfigError, match="unknown forward 'hot'"):
        set_train_forward(net, activations="hot")  # type: ignore[arg-type]


def test_bad_first_layers_are_errors() -> None:
    with pytest.raises(ConfigError, match="weights is 'float'; choose one of int8, binary"):
        InputConv2d(3, 4, 3, weights="float")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"padding_value is 0\.5"):
        InputConv2d(3, 4, 3, padding_value=0.5)
