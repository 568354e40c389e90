"""A small convolution network of signals."""

from __future__ import annotations

from typing import get_args

from torch import nn

from sbn_deploy.nn.models.network import Last, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.stages import InOrder, dense, head, stage
from sbn_runtime.errors import ConfigError


class SignalsCnn(InOrder, Network, arch="signals-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes.

    Convolutions of nine samples in the first layer, of stride 2, and of five in
    the others, each followed by batch-norm and sign; pooling precedes the
    batch-norm. The first layer has real weights, and zeros surround the signal.

    Args:
        channels, length, classes: of the signals; length is at least 8.
        width: channels of the first convolution.
        last: weights of the last layer, "binary", "real" or "int8".
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
        check_counts(channels=channels, length=length, classes=classes, width=width)
        if length < 8:
            raise ConfigError(f"{self.arch} needs a length of at least 8; got {length}")
        check_choice("last", last, get_args(Last))

        def convolution(inputs: int, outputs: int, pool: nn.Module | None = None) -> nn.Module:
            layer = layers.conv1d(inputs, outputs, 5, padding=2, padding_value=1.0)
            return stage(layers, "conv", layer, nn.BatchNorm1d(outputs), pool)

        entry = nn.Conv1d(channels, width, 9, 2, padding=4, bias=False)
        self.stage1 = stage(layers, "conv", entry, nn.BatchNorm1d(width))
        self.stage2 = convolution(width, width, nn.MaxPool1d(2))
        self.stage3 = convolution(width, 2 * width)
        self.stage4 = convolution(2 * width, 2 * width, nn.MaxPool1d(2))
        self.flatten = nn.Flatten()
        # Halved by the stride, which rounds up, and by two pools, which round down.
        samples = (length + 1) // 2 // 4
        self.stage5 = dense(layers, 2 * width * samples, 4 * width)
        self.head = head(layers, 4 * width, classes, last)
