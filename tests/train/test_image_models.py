"""The residual networks for large images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sbn_deploy.materialize import materialize
from sbn_deploy.nn import BinaryConv2d, models
from sbn_runtime.errors import ConfigError

SMALL: dict[str, dict[str, Any]] = {
    "birealnet18": {"size": 32, "width": 4, "classes": 5},
    "quicknet": {"size": 32, "widths": (8, 12), "blocks": (2, 1), "classes": 5},
    "quicknet-small": {"size": 64, "widths": (8, 12, 8), "blocks": (1, 1, 1), "classes": 5},
    "quicknet-large": {"size": 32, "widths": (8,), "blocks": (2,), "classes": 5},
}
each = pytest.mark.parametrize("arch", SMALL)
SECTIONS = {
    "birealnet18": ((64, 128, 256, 512), (4, 4, 4, 4)),
    "quicknet-small": ((32, 64, 256, 512), (4, 4, 4, 4)),
    "quicknet": ((64, 128, 256, 512), (4, 4, 4, 4)),
    "quicknet-large": ((64, 128, 256, 512), (6, 8, 12, 6)),
}


@each
def test_every_parameter_learns(arch: str) -> None:
    """From a batch-norm's offset that is not 0.

    At 0 the scale of QuickNet's stem has no gradient but rounding: ReLU and depthwise
    convolution hand it on, and the next batch-norm divides by it.
    """
    torch.manual_seed(0)
    network = models.create(arch, **SMALL[arch])
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    size = network.config["size"]
    network(torch.rand(4, 3, size, size) * 2 - 1).square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 1e-4, name  # more than rounding gives


@each
def test_fixed_weights_are_signs(arch: str) -> None:
    (member,) = materialize(models.create(arch, **SMALL[arch]))
    size = SMALL[arch]["size"]
    x = torch.rand(2, 3, size, size) * 2 - 1
    assert torch.equal(member(x), member(x))
    weights = [buffer for name, buffer in member.named_buffers() if name.endswith("conv.weight")]
    binary = [weight for weight in weights if (weight.abs() == 1).all()]
    layers = models.create(arch, **SMALL[arch]).modules()
    assert len(binary) == sum(isinstance(layer, BinaryConv2d) for layer in layers)


@each
@torch.no_grad()
def test_binary_layers_see_the_published_sizes(arch: str) -> None:
    """Sections of 56, 28, 14 and 7 pixels; only Bi-Real Net halves inside a block."""
    network = models.create(arch).eval()
    expected = []
    widths, blocks = SECTIONS[arch]
    inputs, size = widths[0], 56
    for width, count in zip(widths, blocks, strict=True):
        for _ in range(count):
            bireal_entry = arch == "birealnet18" and width != inputs
            if width != inputs and not bireal_entry:
                inputs, size = width, size // 2
            expected.append((inputs, size, width))
            if bireal_entry:
                size //= 2
            inputs = width
    found = []

    def note(module: nn.Module, arguments: tuple[torch.Tensor, ...], _: object) -> None:
        _, channels, height, width = arguments[0].shape
        assert height == width
        found.append((channels, height, len(module.latent)))

    for module in network.modules():
        if isinstance(module, BinaryConv2d):
            module.register_forward_hook(note)
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert found == expected


@pytest.mark.parametrize("stride", [2, 1])
@pytest.mark.parametrize("arch", ["birealnet18", "quicknet"])
@torch.no_grad()
def test_a_stem_for_small_images_divides_by_its_stride(arch: str, stride: int) -> None:
    settings = {**SMALL[arch], "size": 16, "stem_stride": stride}
    network = models.create(arch, **settings).eval()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert network.stem(x).shape[2:] == (16 // stride, 16 // stride)
    assert network(x).shape == (2, 5)


@torch.no_grad()
def test_blur_keeps_constants_and_is_not_trained() -> None:
    network = models.create("quicknet", **SMALL["quicknet"])
    (blur,) = [layer for name, layer in network.named_modules() if name.endswith("blur")]
    inner = blur(torch.full((1, 8, 7, 7), 3.0))[:, :, 1:-1, 1:-1]
    assert torch.equal(inner, torch.full_like(inner, 3.0))
    assert not blur.weight.requires_grad


@pytest.mark.parametrize(
    ("arch", "config", "message"),
    [
        ("birealnet18", {"size": 100}, "multiples of 32"),
        ("birealnet18", {"first": "float"}, "first is 'float'"),
        ("quicknet", {"size": 16}, "multiples of 32"),
        ("quicknet", {"size": 36, "stem_stride": 1}, "multiples of 8"),
        ("quicknet", {"stem_stride": 3}, "stem_stride is 3"),
        ("birealnet18", {"size": 24, "stem_stride": 2}, "multiples of 16"),
        ("quicknet", {"widths": (8, 16), "blocks": (1,)}, "one to four sections"),
        ("quicknet-large", {"widths": (6,), "blocks": (1,)}, "multiple of 4"),
    ],
)
def test_impossible_settings_are_errors(arch: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create(arch, **config)
