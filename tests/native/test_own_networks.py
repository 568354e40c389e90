"""Networks of others in the native runtime: published ones, and layers that stay float."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbn_deploy.export.onnx_model import build

from ..published.catalogue import NETWORKS
from ..runtime.one_node import session
from ..sampled import few
from .library import Model, library
from .test_answers import compare, feeds_of


class Segmentation(nn.Module):
    """Down and up again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, 2, 1)
        self.second = nn.Conv2d(16, 16, 3, 2, 1)
        self.up = nn.ConvTranspose2d(16, 16, 4, 2, 1)
        self.last = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        up = self.up(functional.silu(self.second(x)))
        y = self.last(torch.cat([x, up], 1))
        return functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)


class Larger(nn.Module):
    """Twice the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, 1, 1, padding_mode="reflect")
        self.norms = nn.Sequential(nn.InstanceNorm2d(16, affine=True), nn.GroupNorm(4, 16))
        self.last = nn.Conv2d(16, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(functional.leaky_relu(self.norms(self.first(x))))
        larger = functional.interpolate(x, scale_factor=2, mode="nearest")
        return functional.pixel_shuffle(y, 2) + larger


class Activations(nn.Module):
    """Many of them, with statistics, gates and slices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.prelu, self.last = nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.conv(x))
        x = functional.hardswish(x) + functional.hardsigmoid(x) + functional.softplus(x)
        x = x + functional.gelu(x) + torch.tanh(x) + functional.elu(x) + functional.mish(x)
        x = x * x.abs().mean((2, 3), keepdim=True) + x.std((2, 3), keepdim=True)
        x = x + functional.adaptive_avg_pool2d(x, 2).amax((2, 3), keepdim=True)
        x = torch.where(x > 0.1, x, x**2) + torch.rsqrt(x.abs() + 1) + torch.log1p(x.abs())
        left, right = x.chunk(2, 1)
        x = torch.cat([left * torch.sigmoid(right), right], 1)
        x = functional.normalize(x, dim=1).flip(3)[:, :, 1:, ::2]
        return self.last(x.mean((2, 3)))  # type: ignore[no-any-return]


class Shuffled(nn.Module):
    """Channels in another order, each with a convolution of its own, and pools of what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.each, self.last = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        count, channels, height, width = x.shape
        x = x.view(count, 2, channels // 2, height, width).transpose(1, 2)
        x = self.each(x.reshape(count, channels, height, width))
        x = functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        return self.last(x.flatten(2).max(2).values)  # type: ignore[no-any-return]


FLOATS: dict[type[nn.Module], tuple[int, ...]] = {
    Segmentation: (3, 16, 16),
    Larger: (1, 8, 8),
    Activations: (3, 12, 12),
    Shuffled: (3, 32, 32),
}


def answers_as_onnxruntime(proto: onnx.ModelProto) -> None:
    model, reference = (
        Model(proto.SerializeToString()),
        session(proto, library().sbn_isa().decode()),
    )
    for seed, batch in enumerate((2, 1, 5)):
        compare(model, reference, feeds_of(proto, batch, seed))


@pytest.mark.parametrize("name", few(NETWORKS, 1))
def test_published_networks(name: str) -> None:
    network = NETWORKS[name].tiny
    answers_as_onnxruntime(build([network.build()], network.example()).proto)


@pytest.mark.parametrize("kind", few(FLOATS, 2))
def test_layers_that_stay_float(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    answers_as_onnxruntime(build([network], torch.randn(2, *FLOATS[kind]), task="none").proto)


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model('<ir_version: 9, opset_import: ["": 20]>' + text)


def test_several_outputs_and_sizes_from_shapes() -> None:
    """What no file of one operator shows."""
    answers_as_onnxruntime(
        parsed("""m (float[N, 7, 3] x) => (float[N, 3, 3] a, float[N, 3, 3] b, float[N, 1, 3] c) {
            a, b, c = Split <axis = 1, num_outputs = 3> (x)
        }""")
    )
    answers_as_onnxruntime(
        parsed("""m (float[N, 2, 3, 4] x) => (float[N, 2, 6, 12] y, float[2] z) {
            first = Shape <end = 2> (x)
            last = Shape <start = 2> (x)
            times = Constant <value_ints = [2, 3]> ()
            scaled = Mul (last, times)
            sizes = Concat <axis = 0> (first, scaled)
            y = Resize <mode = "linear"> (x, , , sizes)
            z = Constant <value_floats = [1.5, -2.5]> ()
        }""")
    )


def test_a_part_of_nothing() -> None:
    model = Model(
        parsed("""m (float[N, 4] x) => (float[N, 0] y, float[N, 4] z) {
            begin = Constant <value_ints = [3]> ()
            end = Constant <value_ints = [1]> ()
            axis = Constant <value_ints = [1]> ()
            y = Slice (x, begin, end, axis)
            z = Concat <axis = 1> (y, x)
        }""").SerializeToString()
    )
    x = np.ones((2, 4), np.float32)
    answers = model.run({"x": x})
    assert answers["y"].shape == (2, 0)
    np.testing.assert_array_equal(answers["z"], x)
