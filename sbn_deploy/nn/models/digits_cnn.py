"""A small convolution network for 8x8 images of digits."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from sbn_deploy.nn.models.network import Last, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, height_width


class DigitsCnn(Network, arch="digits-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes.

    3x3 convolutions, each followed by batch-norm and sign; pooling precedes
    the batch-norm. Inputs that are multiples of 1/8 keep the pre-activations
    of the first layer exact in float32. Background (-1) surrounds the image.

    Args:
        channels, size, classes: of the images; height and width are at least 4.
        width: channels of the first convolution.
        first, last: weights of the first and last layer, "binary" or "real".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 1,
        size: Size = 8,
        classes: int = 10,
        width: int = 32,
        first: Last = "binary",
        last: Last = "binary",
    ) -> None:
        super().__init__()
        sides = height_width(size, least=4)
        check_counts(self.arch, channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(Last))
        check_choice("last", last, get_args(Last))

        def convolution(inputs: int, outputs: int, *, pool: bool) -> nn.Module:
            layer = layers.conv2d(inputs, outputs, 3, padding=1, padding_value=1.0)
            return stage_of(layer, outputs, pool=pool)

        def stage_of(layer: nn.Module, outputs: int, *, pool: bool) -> nn.Module:
            stage = nn.Sequential()
            stage.add_module("conv", layer)
            if pool:
                stage.add_module("pool", nn.MaxPool2d(2))
            stage.add_module("norm", nn.BatchNorm2d(outputs))
            stage.add_module("sign", layers.activation())
            return stage

        features = 2 * width * (sides[0] // 4) * (sides[1] // 4)
        entry = (
            layers.conv2d(channels, width, 3, padding=1, padding_value=-1.0)
            if first == "binary"
            else nn.Conv2d(channels, width, 3, padding=1, bias=False)
        )
        self.stage1 = stage_of(entry, width, pool=False)
        self.stage2 = convolution(width, width, pool=True)
        self.stage3 = convolution(width, 2 * width, pool=False)
        self.stage4 = convolution(2 * width, 2 * width, pool=True)
        self.flatten = nn.Flatten()
        self.stage5 = nn.Sequential()
        self.stage5.add_module("linear", layers.linear(features, 4 * width))
        self.stage5.add_module("norm", nn.BatchNorm1d(4 * width))
        self.stage5.add_module("sign", layers.activation())
        self.head = nn.Sequential()
        self.head.add_module("linear", layers.output_linear(4 * width, classes, weights=last))
        self.head.add_module("norm", nn.BatchNorm1d(classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.stage1(x))
        x = self.stage4(self.stage3(x))
        x = self.stage5(self.flatten(x))
        logits: Tensor = self.head(x)
        return logits
