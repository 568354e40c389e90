"""Float operators between packed ones keep their layout, and their results."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from sbn_converters.onnx.inspect import inspect_model

from .random_networks import Sign, batch_norm, exact, random_signs
from .test_lowering import Convolution

CHANNELS = 6


def _region(layers: list[nn.Module]) -> nn.Module:
    """A binary convolution, the float layers, and a mean of what they give."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(
                Sign(),
                Convolution(random_signs(CHANNELS, 3, 3, 3)),
                batch_norm(CHANNELS, 27, two_dimensional=True),
            )
            self.region = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            return torch.mean(self.region(self.first(x)), dim=(2, 3))

    torch.manual_seed(3)
    return Network().eval()


def _depthwise(kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> nn.Module:
    return nn.Conv2d(
        CHANNELS, CHANNELS, kernel, stride, pads, dilation, groups=CHANNELS, bias=stride == 2
    )


REGIONS = {
    "relu-pool": [nn.ReLU(), nn.MaxPool2d(3, 2, 1)],
    "blur": [nn.MaxPool2d(2, 1), _depthwise(3, 2, 1, (1, 1))],
    "dilated": [_depthwise(3, 1, 2, (2, 0)), batch_norm(CHANNELS, 9, two_dimensional=True)],
    "pointwise": [
        nn.Conv2d(CHANNELS, 5, 1),
        batch_norm(5, 3, two_dimensional=True),
        nn.Hardtanh(),
    ],
    "strided": [nn.Conv2d(CHANNELS, 5, 1, stride=2, bias=False), nn.PReLU(5)],
    "average": [nn.AvgPool2d(2), nn.Conv2d(CHANNELS, 7, 1), nn.ReLU()],
    "padded average": [nn.ReLU(), nn.AvgPool2d(3, 2, 1)],
}
REGULAR = [nn.ReLU(), nn.Conv2d(CHANNELS, 4, 3, padding=1), batch_norm(4, 9, two_dimensional=True)]


def _exported(layers: list[nn.Module], size: tuple[int, int]) -> onnx.ModelProto:
    network = _region(layers)
    return exact([network], torch.randn(2, 3, *size), torch.randn(3, 3, *size)).proto


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("size", [(7, 9), pytest.param((8, 5), marks=pytest.mark.long)])
def test_no_transposition_is_left(name: str, size: tuple[int, int]) -> None:
    model = _exported(REGIONS[name], size)
    found = [node.op_type for node in model.graph.node]
    # Only the network's input is turned.
    assert found.count("Transpose") == 1
    assert not {*found} & {"BatchNormalization", "Conv", "AveragePool"}


def test_a_regular_convolution_stays_as_traced() -> None:
    model = _exported(REGULAR, (7, 9))
    found = [node.op_type for node in model.graph.node]
    assert found.count("Conv") == 1
    assert "BatchNormalization" not in found


def test_products_of_pixels_are_counted(tmp_path: Path) -> None:
    onnx.save(_exported(REGIONS["average"], (8, 6)), tmp_path / "model.onnx")
    (product,) = [x for x in inspect_model(tmp_path / "model.onnx") if x.op == "Gemm"]
    assert product.input_shape == (4, 3, CHANNELS)
    assert product.output_shape == (4, 3, 7)
    assert product.float_macs == 4 * 3 * CHANNELS * 7
