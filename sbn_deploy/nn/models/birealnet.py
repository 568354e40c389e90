"""Bi-Real Net: a binary residual network with a shortcut around every convolution."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from sbn_deploy.nn.models.network import First, Float, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, height_width


class BiRealNet18(Network, arch="birealnet18"):
    """The 18-layer network of arXiv 1808.00278, section 3.

    7x7 convolution with stride 2, batch-norm, 3x3 max-pool with stride 2; 16
    binary 3x3 convolutions in four sections of width, 2, 4 and 8 width
    channels, with a shortcut around each; mean over the image; a linear layer
    with real weights. The first convolution of the later sections has stride 2,
    and its shortcut a 2x2 average pool and a real 1x1 convolution.

    Binary convolutions are surrounded by +1, which keeps every operand binary.
    Their outputs have no scale of their own: the batch-norm after them has one.

    Args:
        channels, size, classes: of the images; height and width are multiples of 32.
        width: channels of the first section.
        first: weights of the first convolution, as in `cifar-vgg`.
        last, shortcuts: weights of the last layer and of the 1x1 convolutions of shortcuts, "real"
            or "int8".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 3,
        size: Size = 224,
        classes: int = 1000,
        width: int = 64,
        first: First = "int8",
        last: Float = "real",
        shortcuts: Float = "real",
    ) -> None:
        super().__init__()
        height_width(size, least=32, multiple=32)
        check_counts(channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(First))
        check_choice("last", last, get_args(Float))
        check_choice("shortcuts", shortcuts, get_args(Float))
        self.stem = nn.Sequential()
        entry = layers.input_conv2d(
            channels, width, 7, stride=2, padding=3, padding_value=-1.0, weights=first
        )
        self.stem.add_module("conv", entry)
        self.stem.add_module("norm", nn.BatchNorm2d(width))
        self.stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
        self.blocks = nn.Sequential()
        inputs = width
        for outputs in (width, 2 * width, 4 * width, 8 * width):
            for _ in range(4):
                self.blocks.append(_Block(layers, inputs, outputs, shortcuts))
                inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = layers.float_linear(inputs, classes, weights=last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        logits: Tensor = self.head(self.flatten(self.pool(x)))
        return logits


class _Block(nn.Module):
    """shortcut(x) + norm(conv(sign(x))); halves the image where channels change."""

    def __init__(self, layers: Layers, inputs: int, outputs: int, shortcuts: Float) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.sign = layers.activation()
        self.conv = layers.conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_value=1.0)
        self.norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.add_module("pool", nn.AvgPool2d(2))
            conv = layers.float_conv1x1(inputs, outputs, weights=shortcuts)
            self.shortcut.add_module("conv", conv)
            self.shortcut.add_module("norm", nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(self.sign(x))) + self.shortcut(x)
        return y
