"""In the manner of MeliusNet (Bethge et al., 2021): dense blocks and improvement blocks.

A dense block concatenates `growth` new channels, an improvement block adds to those again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinaryConv2d(nn.Conv2d):
    """A convolution whose weights and inputs are signs; sign(0) is +1."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sign(torch.sign(x) + 0.01)
        weight = torch.sign(torch.sign(self.weight) + 0.01)
        return F.conv2d(x, weight, None, self.stride, self.padding)


class DenseBlock(nn.Module):
    """New channels beside the old."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = BinaryConv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.norm(x))], 1)


class ImprovementBlock(nn.Module):
    """Improves the newest channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.skip = inputs - growth
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = BinaryConv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv(self.norm(x))
        return torch.cat([x[:, : self.skip], x[:, self.skip :] + new], dim=1)


class MeliusNet(nn.Module):
    """`depths` of pairs of blocks, with transitions that halve the channels between them."""

    def __init__(
        self,
        width: int = 64,
        growth: int = 64,
        depths: Sequence[int] = (4, 5, 4, 4),
        classes: int = 1000,
    ) -> None:
        super().__init__()
        half = width // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1, groups=4, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, width, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        layers: list[nn.Module] = []
        channels = width
        for index, depth in enumerate(depths):
            for _ in range(depth):
                layers.append(DenseBlock(channels, growth))
                channels += growth
                layers.append(ImprovementBlock(channels, growth))
            if index < len(depths) - 1:
                outputs = channels // 2 // 8 * 8
                layers += [
                    nn.BatchNorm2d(channels),
                    nn.MaxPool2d(2, stride=2),
                    nn.ReLU(),
                    nn.Conv2d(
                        channels, outputs, 1, groups=8 if channels % 8 == 0 else 1, bias=False
                    ),
                ]
                channels = outputs
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.output = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(self.stem(x))
        return self.output(F.adaptive_avg_pool2d(x, 1).flatten(1))
