"""Bi-Real Net: a binary residual network with a shortcut around every convolution."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from sbn_deploy.nn.models.network import First, Float, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, StemStride, check_stride, height_width


class BiRealNet18(Network, arch="birealnet18"):
    """The 18-layer network of arXiv 1808.00278, section 3.

    7x7 convolution with stride 2, batch-norm, 3x3 max-pool with stride 2 (for
    small images a 3x3 convolution alone, see `stem_stride`); 16 binary 3x3
    convolutions in four sections of width, 2, 4 and 8 width channels, with a
    shortcut around each; mean over the image; a linear layer with real weights.
    The first convolution of the later sections has stride 2, and its shortcut a
    2x2 average pool and a real 1x1 convolution.

    Binary convolutions are surrounded by +1, which keeps every operand binary.
    Their outputs have no scale of their own: the batch-norm after them has one.

    Args:
        channels, size, classes: of the images; height and width are multiples of 8 `stem_stride`.
        width: channels of the first section.
        stem_stride: what the stem divides height and width by: 4 as published, for images of 128
            pixels and more; 2 or 1, for smaller ones, is a 3x3 convolution of this stride.
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
        stem_stride: StemStride = 4,
        first: First = "int8",
        last: Float = "real",
        shortcuts: Float = "real",
    ) -> None:
        super().__init__()
        check_stride(stem_stride)
        height_width(size, least=8 * stem_stride, multiple=8 * stem_stride)
        check_counts(channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(First))
        check_choice("last", last, get_args(Float))
        check_choice("shortcuts", shortcuts, get_args(Float))
        self.stem = _stem(layers, channels, width, stem_stride, first)
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


def _stem(
    layers: Layers, channels: int, width: int, stride: StemStride, first: First
) -> nn.Sequential:
    """[N, C, H, W] -> [N, width, H / stride, W / stride]."""
    kernel, step = (7, 2) if stride == 4 else (3, stride)
    entry = layers.input_conv2d(
        channels, width, kernel, stride=step, padding=kernel // 2, padding_value=-1.0, weights=first
    )
    stem = nn.Sequential()
    stem.add_module("conv", entry)
    stem.add_module("norm", nn.BatchNorm2d(width))
    if stride == 4:
        stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    return stem


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
