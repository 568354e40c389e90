"""A small convolution network for 8x8 images of digits."""

from __future__ import annotations

from torch import Tensor, nn

from sbn_deploy.nn.models.network import Layers, Network
from sbn_runtime.errors import ConfigError


class DigitsCnn(Network, arch="digits-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes; all of it binary.

    3x3 convolutions, each followed by batch-norm and sign; pooling precedes
    the batch-norm. Inputs that are multiples of 1/8 keep the pre-activations
    of the first layer exact in float32. Background (-1) surrounds the image.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 1,
        size: int = 8,
        classes: int = 10,
        width: int = 32,
    ) -> None:
        super().__init__()
        if size < 4 or min(channels, classes, width) < 1:
            raise ConfigError(
                "digits-cnn needs size >= 4 and at least one channel, class and unit; "
                f"got size={size}, channels={channels}, classes={classes}, width={width}"
            )

        def convolution(inputs: int, outputs: int, padding_value: float, pool: bool) -> nn.Module:
            stage = nn.Sequential()
            stage.add_module(
                "conv",
                layers.conv2d(inputs, outputs, 3, padding=1, padding_value=padding_value),
            )
            if pool:
                stage.add_module("pool", nn.MaxPool2d(2))
            stage.add_module("norm", nn.BatchNorm2d(outputs))
            stage.add_module("sign", layers.activation())
            return stage

        features = 2 * width * (size // 4) ** 2
        self.stage1 = convolution(channels, width, -1.0, pool=False)
        self.stage2 = convolution(width, width, 1.0, pool=True)
        self.stage3 = convolution(width, 2 * width, 1.0, pool=False)
        self.stage4 = convolution(2 * width, 2 * width, 1.0, pool=True)
        self.flatten = nn.Flatten()
        self.stage5 = nn.Sequential()
        self.stage5.add_module("linear", layers.linear(features, 4 * width))
        self.stage5.add_module("norm", nn.BatchNorm1d(4 * width))
        self.stage5.add_module("sign", layers.activation())
        self.head = nn.Sequential()
        self.head.add_module("linear", layers.linear(4 * width, classes))
        self.head.add_module("norm", nn.BatchNorm1d(classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.stage1(x))
        x = self.stage4(self.stage3(x))
        x = self.stage5(self.flatten(x))
        logits: Tensor = self.head(x)
        return logits
