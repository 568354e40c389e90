"""Layers trained in 8 bits: what they compute, learn and become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sbn_deploy.export import onnx_model
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import EightBit, EightBitConv2d, EightBitLinear, models
from sbn_deploy.oracle import validate_members
from sbn_deploy.untrained import export_untrained
from sbn_runtime import available_isas
from sbn_runtime.errors import ArtifactError

from ..sampled import few

LAYERS: dict[str, tuple[Callable[[], EightBit], tuple[int, ...]]] = {
    "conv": (lambda: EightBitConv2d(5, 7, 3, stride=2, padding=1), (4, 5, 9, 8)),
    "conv1x1": (lambda: EightBitConv2d(5, 7, 1, bias=False), (4, 5, 6, 6)),
    "linear": (lambda: EightBitLinear(20, 7), (4, 20)),
    "rows": (lambda: EightBitLinear(20, 7), (4, 3, 20)),
}


@pytest.fixture(params=LAYERS)
def trained(request: pytest.FixtureRequest) -> tuple[EightBit, Tensor]:
    """A layer that has seen inputs, and the last ones."""
    torch.manual_seed(0)
    make, shape = LAYERS[request.param]
    layer = make()
    for _ in range(3):
        x = torch.randn(shape)
        layer(x)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer, x


def in_floats(layer: EightBit, x: Tensor) -> Tensor:
    """What the layer would be without rounding."""
    if isinstance(layer, EightBitConv2d):
        assert layer.window is not None
        return nn.functional.conv2d(x, layer.weight, layer.bias, *layer.window)
    return nn.functional.linear(x, layer.weight, layer.bias)


def test_it_is_near_the_float_layer(trained: tuple[EightBit, Tensor]) -> None:
    layer, x = trained
    inside = x.clamp(layer.low, layer.high)
    expected = in_floats(layer, inside)
    assert (layer.eval()(inside) - expected).abs().max() < 0.03 * expected.abs().max()


def test_gradients_pass_the_roundings(trained: tuple[EightBit, Tensor]) -> None:
    layer, x = trained
    layer.eval()
    x = (x.clamp(layer.low, layer.high) * 0.99).requires_grad_()
    y = layer(x)
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, [x, layer.weight], direction)
    float_y = in_floats(layer, x)
    expected = torch.autograd.grad(float_y, [x, layer.weight], direction)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_no_gradient_beyond_the_range(trained: tuple[EightBit, Tensor]) -> None:
    layer, x = trained
    layer.eval()
    x = torch.full_like(x, float(layer.high) * 2).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert not gradient.any()


def test_ranges_follow_the_batches() -> None:
    layer = EightBitLinear(3, 2)
    layer(torch.tensor([[-1.0, 0.0, 3.0]]))
    assert (layer.low, layer.high) == (-1, 3)
    layer(torch.tensor([[1.0, 2.0, 5.0]]))
    assert float(layer.low) == pytest.approx(-0.9)
    assert float(layer.high) == pytest.approx(3.2)
    layer.eval()(torch.tensor([[-9.0, 2.0, 9.0]]))
    assert float(layer.high) == pytest.approx(3.2)


def test_fixed_is_the_same_layer(trained: tuple[EightBit, Tensor]) -> None:
    layer, x = trained
    assert torch.equal(layer.fixed()(x), layer.eval()(x))


@pytest.mark.parametrize("arch", few(["quicknet-small", "birealnet18"], 1))
def test_a_network_with_it_has_no_float_products_but_depthwise_ones(arch: str) -> None:
    torch.manual_seed(0)
    sizes = {"width": 8} if arch == "birealnet18" else {"widths": (8, 16), "blocks": (1, 1)}
    network = models.create(arch, size=32, classes=5, last="int8", shortcuts="int8", **sizes)
    for _ in range(2):
        network(torch.randint(0, 256, (4, 3, 32, 32)) / 127.5 - 1)
    (member,) = materialize(network)
    images = torch.randint(0, 256, (2, 3, 32, 32)) / torch.tensor(255.0) * 2 - 1
    built = onnx_model.build([member], images)
    kinds = [layer.kind for layer in built.lowered.layers]
    assert kinds.count("int8") >= 2
    floats = [layer.name for layer in built.lowered.layers if layer.kind == "float"]
    assert all("depthwise" in name or "blur" in name for name in floats)
    results = validate_members(built.proto, [member], images.numpy(), traced=built.traced)
    assert len(results) == len(available_isas()) + 3
    assert all(result.ok for result in results), results


def test_a_sign_right_behind_it_is_a_threshold() -> None:
    class Signed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = EightBitConv2d(3, 70, 3, padding=1)
            self.register_buffer("weight", torch.ones(4, 70, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            signs = torch.where(self.layer(x) < 0, -1.0, 1.0)
            return nn.functional.conv2d(signs, self.weight).mean((2, 3))

    torch.manual_seed(0)
    network = Signed()
    x = torch.randn(4, 3, 6, 6)
    network(x)
    (member,) = materialize(network)
    built = onnx_model.build([member], x)
    assert "PixelConvThreshold" in {node.op_type for node in built.proto.graph.node}
    (result,) = validate_members(
        built.proto, [member], x.numpy(), traced=built.traced, engine="sbn"
    )
    assert result.ok
    assert result.compared_bits > 4 * np.prod((70, 6, 6))


def test_a_layer_without_a_range_says_so() -> None:
    with pytest.raises(ArtifactError, match="has not seen any inputs"):
        materialize(EightBitLinear(3, 2))


def test_untrained_networks_have_ranges(tmp_path: Path) -> None:
    output = tmp_path / "net.onnx"
    sizes: dict[str, object] = {"widths": (8, 16), "blocks": (1, 1), "size": 32, "classes": 5}
    report = export_untrained("quicknet", output, last="int8", shortcuts="int8", **sizes)
    assert [layer.kind for layer in report.layers].count("int8") == 3
