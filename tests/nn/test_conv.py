"""Binary convolutions of signals: those of images of height one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sbn_deploy.materialize import materialize
from sbn_deploy.nn import BinaryConv1d, BinaryConv2d, BinaryLinear, FixedConv, FixedLinear
from sbn_deploy.nn.estimator import sign
from sbn_deploy.nn.geometry import ConvGeometry
from sbn_runtime.errors import ConfigError

each_geometry = pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups", "border"),
    [
        (3, 1, 1, 1, 1, 1.0),
        (5, 2, 2, 1, 1, -1.0),
        (3, 1, 4, 3, 2, 0.0),
        (1, 3, 0, 1, 4, 1.0),
        (4, 3, 2, 2, 8, 1.0),
    ],
)


def pair_of(
    kernel: int, stride: int, padding: int, dilation: int, groups: int, border: float
) -> tuple[BinaryConv1d, BinaryConv2d]:
    """A convolution of signals, and of images of height one, with the same latents."""
    signals = BinaryConv1d(
        8,
        16,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_value=border,
        init_std=0.5,
    )
    images = BinaryConv2d(
        8,
        16,
        (1, kernel),
        stride=(1, stride),
        padding=(0, padding),
        dilation=(1, dilation),
        groups=groups,
        padding_value=border,
    )
    with torch.no_grad():
        images.latent.copy_(signals.latent.unsqueeze(2))
    return signals, images


def gradients(layer: BinaryConv1d | BinaryConv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the latent, gradient of the input; random numbers start from a seed."""
    x = x.clone().requires_grad_()
    torch.manual_seed(3)
    y = layer(x)
    y.backward(torch.linspace(-1, 1, y.numel()).view(y.shape))
    assert layer.latent.grad is not None
    assert x.grad is not None
    return y.detach(), layer.latent.grad, x.grad


@each_geometry
def test_signals_are_images_of_height_one(
    kernel: int, stride: int, padding: int, dilation: int, groups: int, border: float
) -> None:
    torch.manual_seed(0)
    signals, images = pair_of(kernel, stride, padding, dilation, groups, border)
    x = sign(torch.randn(3, 8, 21))
    y, latent, back = gradients(signals, x)
    wanted, wanted_latent, wanted_back = gradients(images, x.unsqueeze(2))
    assert torch.equal(y.unsqueeze(2), wanted)
    torch.testing.assert_close(latent.unsqueeze(2), wanted_latent)
    torch.testing.assert_close(back.unsqueeze(2), wanted_back)
    (fixed,) = materialize(signals)
    assert isinstance(fixed, FixedConv)
    (fixed_images,) = materialize(images)
    assert torch.equal(fixed(x).unsqueeze(2), fixed_images(x.unsqueeze(2)))
    assert torch.equal(fixed(x), signals.eval()(x))


@each_geometry
@pytest.mark.parametrize("axes", [1, 2])
def test_a_border_in_training_is_that_of_a_padded_copy(
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    border: float,
    axes: int,
) -> None:
    """Values to the bit, and gradients, of which training takes another way."""
    geometry = ConvGeometry(stride, padding, dilation, border, groups=groups, axes=axes)
    torch.manual_seed(0)
    x = sign(torch.randn(3, 8, *[13] * axes)).requires_grad_()
    weight = sign(torch.randn(16, 8 // groups, *[kernel] * axes)).requires_grad_()
    trained = geometry.convolve(x, weight)
    padded = torch.nn.functional.pad(x, [padding] * 2 * axes, value=border)
    convolve = torch.nn.functional.conv1d if axes == 1 else torch.nn.functional.conv2d
    expected = convolve(padded, weight, None, stride, 0, dilation, groups)
    assert torch.equal(trained, expected)
    with torch.no_grad():
        assert torch.equal(geometry.convolve(x, weight), expected)
    incoming = torch.randn_like(expected)
    for found, wanted in zip(
        torch.autograd.grad(trained, (x, weight), incoming),
        torch.autograd.grad(expected, (x, weight), incoming),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_sampled_members_of_a_signal_layer_follow_their_probabilities() -> None:
    torch.manual_seed(0)
    layer = BinaryConv1d(16, 32, 3, noise="uniform", init_std=0.0)
    with torch.no_grad():
        layer.latent.copy_(torch.linspace(-1, 1, layer.latent.numel()).view_as(layer.latent))
    members = materialize(layer, weights="sample", members=64, seed=1)
    mean = torch.stack([member.weight for member in members]).mean(0)
    # Six standard deviations of a mean of 64 draws.
    assert float((mean - layer.latent.detach()).abs().max()) < 6 / 8


def test_a_sequence_is_a_batch_of_vectors() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(24, 7, init_std=0.5)
    x = sign(torch.randn(4, 5, 24))
    torch.manual_seed(2)
    whole = layer(x)
    torch.manual_seed(2)
    flat = layer(x.reshape(20, 24))
    assert torch.equal(whole.reshape(20, 7), flat)
    (fixed,) = materialize(layer)
    assert isinstance(fixed, FixedLinear)
    assert torch.equal(fixed(x), layer.eval()(x))


def test_sizes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ConfigError, match="has 2 numbers; give one, or 1"):
        BinaryConv1d(4, 8, (3, 3))
    with pytest.raises(ConfigError, match="has 3 numbers; give one, or 2"):
        BinaryConv2d(4, 8, 3, stride=(1, 1, 1))
    with pytest.raises(ConfigError, match="3 groups do not divide 4 input and 8 output"):
        BinaryConv1d(4, 8, 3, groups=3)
    with pytest.raises(ConfigError, match=r"padding_value is 0\.5"):
        BinaryConv1d(4, 8, 3, padding_value=0.5)
