"""Convolution networks in the style of VGG for small colour images."""

from __future__ import annotations

from typing import get_args

from torch import nn

from sbn_deploy.nn.models.network import First, Last, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, height_width
from sbn_deploy.nn.models.stages import InOrder, dense, head, stage


class CifarVgg(InOrder, Network, arch="cifar-vgg"):
    """2 x width - pool - 2 x 2 width - pool - 2 x 4 width - pool - 8 width - 8 width - classes.

    3x3 convolutions and linear layers, each followed by batch-norm and sign;
    pooling precedes the batch-norm. At the default width this is the network
    for CIFAR-10 of arXiv 2006.06880: 2x128, 2x256, 2x512, 1024, 1024, 10.

    Args:
        channels, size, classes: of the images; height and width are multiples of 8.
        width: channels of the first convolution.
        first: "int8" and "binary" take 8-bit images as the integers 2 pixel - 255
            (normalised with mean and std 0.5), so that pre-activations are exact
            integers; black surrounds the image. "real" takes any numbers, and
            zeros surround the image.
        last: weights of the last layer, "binary", "real" or "int8".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 3,
        size: Size = 32,
        classes: int = 10,
        width: int = 128,
        first: First = "int8",
        last: Last = "binary",
    ) -> None:
        super().__init__()
        sides = height_width(size, least=8, multiple=8)
        check_counts(channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(First))
        check_choice("last", last, get_args(Last))

        def convolution(inputs: int, outputs: int, pool: nn.Module | None = None) -> nn.Module:
            layer = layers.conv2d(inputs, outputs, 3, padding=1, padding_value=1.0)
            return stage(layers, "conv", layer, nn.BatchNorm2d(outputs), pool)

        entry = layers.input_conv2d(
            channels, width, 3, padding=1, padding_value=-1.0, weights=first
        )
        self.stage1 = stage(layers, "conv", entry, nn.BatchNorm2d(width))
        self.stage2 = convolution(width, width, nn.MaxPool2d(2))
        self.stage3 = convolution(width, 2 * width)
        self.stage4 = convolution(2 * width, 2 * width, nn.MaxPool2d(2))
        self.stage5 = convolution(2 * width, 4 * width)
        self.stage6 = convolution(4 * width, 4 * width, nn.MaxPool2d(2))
        self.flatten = nn.Flatten()
        self.stage7 = dense(layers, 4 * width * (sides[0] // 8) * (sides[1] // 8), 8 * width)
        self.stage8 = dense(layers, 8 * width, 8 * width)
        self.head = head(layers, 8 * width, classes, last)


class CifarVggSmall(CifarVgg, arch="cifar-vgg-s", width=43):
    """`cifar-vgg` at a third of its width, for training on a CPU."""
