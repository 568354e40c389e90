"""A small convolution network for 8x8 images of digits."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from sbn_deploy.nn.models.network import Last, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, height_width
from sbn_deploy.nn.models.stages import InOrder, dense, head, stage

Real = Literal["binary", "real"]


class DigitsCnn(InOrder, Network, arch="digits-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes.

    3x3 convolutions, each followed by batch-norm and sign; pooling precedes
    the batch-norm. Inputs that are multiples of 1/8 keep the pre-activations
    of the first layer exact in float32. Background (-1) surrounds the image.

    Args:
        channels, size, classes: of the images; height and width are at least 4.
        width: channels of the first convolution.
        first: weights of the first layer, "binary" or "real".
        last: weights of the last layer, "binary", "real" or "int8".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 1,
        size: Size = 8,
        classes: int = 10,
        width: int = 32,
        first: Real = "binary",
        last: Last = "binary",
    ) -> None:
        super().__init__()
        sides = height_width(size, least=4)
        check_counts(channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(Real))
        check_choice("last", last, get_args(Last))

        def convolution(inputs: int, outputs: int, pool: nn.Module | None = None) -> nn.Module:
            layer = layers.conv2d(inputs, outputs, 3, padding=1, padding_value=1.0)
            return stage(layers, "conv", layer, nn.BatchNorm2d(outputs), pool)

        entry = (
            layers.conv2d(channels, width, 3, padding=1, padding_value=-1.0)
            if first == "binary"
            else nn.Conv2d(channels, width, 3, padding=1, bias=False)
        )
        self.stage1 = stage(layers, "conv", entry, nn.BatchNorm2d(width))
        self.stage2 = convolution(width, width, nn.MaxPool2d(2))
        self.stage3 = convolution(width, 2 * width)
        self.stage4 = convolution(2 * width, 2 * width, nn.MaxPool2d(2))
        self.flatten = nn.Flatten()
        self.stage5 = dense(layers, 2 * width * (sides[0] // 4) * (sides[1] // 4), 4 * width)
        self.head = head(layers, 4 * width, classes, last)
