"""QuickNet: binary residual networks that spend little on their float layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from sbn_deploy.nn.models.network import First, Float, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, StemStride, check_stride, height_width
from sbn_runtime.errors import ConfigError


class QuickNet(Network, arch="quicknet"):
    """The network of arXiv 2011.09398, section 5.

    A stem that divides the size by four (3x3 convolution, depthwise 3x3
    convolution, 1x1 convolution; for small images a 3x3 convolution alone, see
    `stem_stride`); sections of residual blocks, each a binary
    3x3 convolution; transitions between them that halve the size (max-pool
    with stride 1, fixed blur with stride 2, 1x1 convolution); mean over the
    image; a linear layer. All but the blocks has real weights.

    Args:
        channels, size, classes: of the images; height and width are multiples of `stem_stride`
            times two for each transition: of 32 by default.
        widths, blocks: channels and residual blocks of each section.
        stem_stride: what the stem divides height and width by: 4 as published, for images of 128
            pixels and more; 2 or 1, for smaller ones, is a 3x3 convolution of this stride.
        first: weights of the first convolution, as in `cifar-vgg`.
        last, shortcuts: weights of the last layer, and of the 1x1 convolutions of stem and
            transitions, "real" or "int8".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 3,
        size: Size = 224,
        classes: int = 1000,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (4, 4, 4, 4),
        stem_stride: StemStride = 4,
        first: First = "int8",
        last: Float = "real",
        shortcuts: Float = "real",
    ) -> None:
        super().__init__()
        check_stride(stem_stride)
        check_counts(channels=channels, classes=classes)
        if len(widths) != len(blocks) or not 1 <= len(blocks) <= 4:
            raise ConfigError(
                f"one to four sections have a width and a number of blocks each; got"
                f" widths={list(widths)}, blocks={list(blocks)}"
            )
        multiple = stem_stride * 2 ** (len(blocks) - 1)
        height_width(size, least=multiple, multiple=multiple)
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            check_counts(**{f"widths[{index}]": width, f"blocks[{index}]": count})
        if stem_stride == 4 and widths[0] % 4:
            raise ConfigError(f"the first width must be a multiple of 4; got {list(widths)}")
        check_choice("first", first, get_args(First))
        check_choice("last", last, get_args(Float))
        check_choice("shortcuts", shortcuts, get_args(Float))
        self.stem = (
            _stem(layers, channels, widths[0], first, shortcuts)
            if stem_stride == 4
            else _small_stem(layers, channels, widths[0], stem_stride, first)
        )
        self.sections = nn.Sequential()
        inputs = widths[0]
        for width, count in zip(widths, blocks, strict=True):
            section = nn.Sequential()
            if len(self.sections):
                section.append(_transition(layers, inputs, width, shortcuts))
            section.extend(_Block(layers, width) for _ in range(count))
            self.sections.append(section)
            inputs = width
        self.head = nn.Sequential()
        self.head.add_module("relu", nn.ReLU())
        self.head.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.head.add_module("flatten", nn.Flatten())
        self.head.add_module("linear", layers.float_linear(inputs, classes, weights=last))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.sections(self.stem(x)))
        return logits


class QuickNetSmall(QuickNet, arch="quicknet-small", widths=(32, 64, 256, 512)):
    """`quicknet` with narrower early sections."""


class QuickNetLarge(QuickNet, arch="quicknet-large", blocks=(6, 8, 12, 6)):
    """`quicknet` with more blocks."""


class QuickNetTiny(
    QuickNet,
    arch="quicknet-tiny",
    size=32,
    classes=10,
    widths=(32, 64, 128, 128),
    blocks=(1, 1, 1, 1),
    stem_stride=1,
    last="int8",
    shortcuts="int8",
):
    """`quicknet` for images of 32 to 64 pixels: one block in each section, and 8 bits where those
    have real weights."""


class _Block(nn.Module):
    """x + norm(relu(conv(sign(x)))).

    The fp32 twin, which has a rectifier in place of the sign, has none before
    the batch-norm: that would only keep engines from folding it.
    """

    def __init__(self, layers: Layers, width: int) -> None:
        super().__init__()
        self.sign = layers.activation()
        self.conv = layers.conv2d(width, width, 3, padding=1, padding_value=1.0)
        self.relu = nn.ReLU() if layers.kind == "sbn" else nn.Identity()
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.relu(self.conv(self.sign(x))))
        return x + y


def _stem(
    layers: Layers, channels: int, width: int, first: First, shortcuts: Float
) -> nn.Sequential:
    """[N, C, H, W] -> [N, width, H / 4, W / 4]."""
    inner = width // 4
    entry = layers.input_conv2d(
        channels, inner, 3, stride=2, padding=1, padding_value=-1.0, weights=first
    )
    stem = nn.Sequential()
    stem.add_module("conv", entry)
    stem.add_module("norm", nn.BatchNorm2d(inner))
    stem.add_module("relu", nn.ReLU())
    depthwise = nn.Conv2d(inner, inner, 3, stride=2, padding=1, groups=inner, bias=False)
    stem.add_module("depthwise", depthwise)
    stem.add_module("depthwise_norm", nn.BatchNorm2d(inner, affine=False))
    stem.add_module("pointwise", layers.float_conv1x1(inner, width, weights=shortcuts))
    stem.add_module("pointwise_norm", nn.BatchNorm2d(width))
    return stem


def _small_stem(
    layers: Layers, channels: int, width: int, stride: int, first: First
) -> nn.Sequential:
    """[N, C, H, W] -> [N, width, H / stride, W / stride]."""
    stem = nn.Sequential()
    entry = layers.input_conv2d(
        channels, width, 3, stride=stride, padding=1, padding_value=-1.0, weights=first
    )
    stem.add_module("conv", entry)
    stem.add_module("norm", nn.BatchNorm2d(width))
    return stem


def _transition(layers: Layers, inputs: int, outputs: int, shortcuts: Float) -> nn.Sequential:
    """[N, inputs, H, W] -> [N, outputs, H / 2, W / 2]."""
    transition = nn.Sequential()
    transition.add_module("relu", nn.ReLU())
    transition.add_module("pool", nn.MaxPool2d(2, stride=1))
    transition.add_module("blur", _Blur(inputs))
    transition.add_module("conv", layers.float_conv1x1(inputs, outputs, weights=shortcuts))
    transition.add_module("norm", nn.BatchNorm2d(outputs))
    return transition


class _Blur(nn.Conv2d):
    """The binomial 3x3 filter with stride 2, not trained (arXiv 1904.11486)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        weight = torch.outer(line, line).expand(channels, 1, 3, 3).clone()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and x.is_cpu and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        # The gradient of a depthwise convolution is many times slower in bfloat16 on a CPU.
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())
