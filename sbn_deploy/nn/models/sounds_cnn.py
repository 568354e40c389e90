"""A small network of sounds whose convolutions run along time only."""

from __future__ import annotations

from typing import get_args

from torch import nn

from sbn_deploy.nn.models.network import First, Last, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.shape import Size, height_width
from sbn_deploy.nn.models.stages import InOrder, dense, head, stage


class SoundsCnn(InOrder, Network, arch="sounds-cnn"):
    """width - width, pool - 2 width - 2 width, pool - 4 width - classes, of a spectrum's picture.

    Bands are channels: the first layer sees all of them in nine frames at once, in steps of two
    frames. The other convolutions see five steps. Each is followed by batch-norm and sign; pooling
    precedes the batch-norm. Layers are those of images one row high, so that signs stay packed
    from the first layer on.

    Args:
        channels, size, classes: of the pictures; size is bands and frames, each at least 8.
        width: channels of the first convolution.
        first: weights of the first layer, as in `cifar-vgg`; sums of "int8" are exact for up to
            57 bands.
        last: weights of the last layer, "binary", "real" or "int8".
    """

    def __init__(
        self,
        layers: Layers,
        *,
        channels: int = 1,
        size: Size = (32, 64),
        classes: int = 10,
        width: int = 64,
        first: First = "int8",
        last: Last = "binary",
    ) -> None:
        super().__init__()
        bands, frames = height_width(size, least=8)
        check_counts(channels=channels, classes=classes, width=width)
        check_choice("first", first, get_args(First))
        check_choice("last", last, get_args(Last))

        def convolution(inputs: int, outputs: int, pool: nn.Module | None = None) -> nn.Module:
            layer = layers.conv2d(inputs, outputs, (1, 5), padding=(0, 2), padding_value=1.0)
            return stage(layers, "conv", layer, nn.BatchNorm2d(outputs), pool)

        entry = layers.input_conv2d(
            channels,
            width,
            (bands, 9),
            stride=(1, 2),
            padding=(0, 4),
            padding_value=-1.0,
            weights=first,
        )
        self.stage1 = stage(layers, "conv", entry, nn.BatchNorm2d(width))
        self.stage2 = convolution(width, width, nn.MaxPool2d((1, 2)))
        self.stage3 = convolution(width, 2 * width)
        self.stage4 = convolution(2 * width, 2 * width, nn.MaxPool2d((1, 2)))
        self.flatten = nn.Flatten()
        # Halved by the stride, which rounds up, and by two pools, which round down.
        self.stage5 = dense(layers, 2 * width * ((frames + 1) // 2 // 4), 4 * width)
        self.head = head(layers, 4 * width, classes, last)
