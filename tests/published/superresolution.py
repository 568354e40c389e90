"""Binary super-resolution, in the manner of binarised residual networks (Xin et al., ECCV 2020).

No batch norm: a convolution of signs with scaled weights and a bias, PReLU, a shortcut; the
float tail shuffles channels into pixels. The answer is an image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinaryConv(nn.Module):
    """A shift for each channel, sign, convolution with sign(w) * mean|w|, bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(0.1 * torch.randn(1, channels, 1, 1))
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) * 0.05)
        self.bias = nn.Parameter(0.1 * torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.shift
        x = (torch.sign(x) - x.clamp(-1, 1)).detach() + x.clamp(-1, 1)
        alpha = self.weight.abs().mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, torch.sign(self.weight) * alpha, self.bias, padding=1)


class ResidualBlock(nn.Module):
    """Two binary convolutions, each with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = BinaryConv(channels), BinaryConv(channels)
        self.act1, self.act2 = nn.PReLU(channels), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.conv1(x)) + x
        return self.act2(self.conv2(x)) + x


class SuperResolution(nn.Module):
    """Twice as many pixels on each axis."""

    def __init__(self, width: int = 64, blocks: int = 16, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        self.tail = nn.Sequential(
            nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        large = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        y = self.head(x)
        return self.tail(self.body(y) + y) + large
