"""A small convolution network of signals."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from sbn_deploy.nn.models.network import Last, Layers, Network, check_choice, check_counts
from sbn_runtime.errors import ConfigError


class SignalsCnn(Network, arch="signals-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes.

    Convolutions of nine samples in the first layer, of stride 2, and of five in
    the others, each followed by batch-norm and sign; pooling precedes the
    batch-norm. The first layer has real weights, and zeros surround the signal.

    Args:
        channels, length, classes: of the signals; length is at least 8.
        width: channels of the first convolution.
        last: weights of the last layer, "binary" or "real".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 1,
        length: int = 128,
        classes: int = 6,
        width: int = 32,
        last: Last = "binary",
    ) -> None:
        super().__init__()
        check_counts(self.arch, channels=channels, classes=classes, width=width)
        if length < 8:
            raise ConfigError(f"{self.arch} needs a length of at least 8; got {length}")
        check_choice("last", last, get_args(Last))

        def stage(layer: nn.Module, outputs: int, *, pool: bool = False) -> nn.Sequential:
            made = nn.Sequential()
            made.add_module("conv", layer)
            if pool:
                made.add_module("pool", nn.MaxPool1d(2))
            made.add_module("norm", nn.BatchNorm1d(outputs))
            made.add_module("sign", layers.activation())
            return made

        def convolution(inputs: int, outputs: int, *, pool: bool) -> nn.Sequential:
            layer = layers.conv1d(inputs, outputs, 5, padding=2, padding_value=1.0)
            return stage(layer, outputs, pool=pool)

        self.stage1 = stage(nn.Conv1d(channels, width, 9, 2, padding=4, bias=False), width)
        self.stage2 = convolution(width, width, pool=True)
        self.stage3 = convolution(width, 2 * width, pool=False)
        self.stage4 = convolution(2 * width, 2 * width, pool=True)
        self.flatten = nn.Flatten()
        # Halved by the stride, which rounds up, and by two pools, which round down.
        samples = (length + 1) // 2 // 4
        self.stage5 = nn.Sequential()
        self.stage5.add_module("linear", layers.linear(2 * width * samples, 4 * width))
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
