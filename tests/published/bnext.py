"""In the manner of BNext (Guo et al., 2022): gates on binary convolutions, chains of PReLUs.

A block is a binary 3×3 convolution whose batch-normalised result is gated by
squeeze-and-excitation of the block's input, and two binary 1×1 convolutions around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels in units of the width and strides of the blocks, as in MobileNet.
TINY_PLAN = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)]


class HardSign(nn.Module):
    """A sign within learned bounds: sign(clamp(x)), with the clamp as its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        clipped = torch.clamp(x, -self.temperature, self.temperature)
        hard = torch.where(clipped >= 0, torch.ones_like(x), -torch.ones_like(x))
        return (hard - clipped).detach() + clipped


class HardBinaryConv(nn.Conv2d):
    """Centred weights, their sign times the mean magnitude of the filter."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.register_buffer("temperature", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        scale = w.abs().mean([1, 2, 3], keepdim=True).detach()
        if self.temperature < 1e-7:
            binary = torch.sign(w) * scale
        else:
            soft = torch.clamp(w / self.temperature, -1, 1)
            binary = (torch.sign(w) - soft).detach() * scale + soft * scale
        return F.conv2d(x, binary, None, self.stride, self.padding)


class SqueezeExcitation(nn.Module):
    """A gate for each image and channel."""

    def __init__(self, inputs: int, outputs: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(inputs // reduction, 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, hidden, 1),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x)


class InfoBlock(nn.Module):
    """Shift, sign, convolution, PReLU, batch norm, gate, shortcut, PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.move = nn.Parameter(0.1 * torch.randn(1, inputs, 1, 1))
        self.sign = HardSign()
        self.conv = HardBinaryConv(inputs, outputs, kernel, stride)
        self.prelu1 = nn.PReLU(outputs)
        self.norm = nn.BatchNorm2d(outputs)
        self.prelu2 = nn.PReLU(outputs)
        self.se = SqueezeExcitation(inputs, outputs)
        self.pool = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
        self.prelu3 = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.prelu1(self.conv(self.sign(x + self.move))))
        y = self.prelu2(y) * self.se(x)
        return self.prelu3(y + self.pool(x))


class Block(nn.Module):
    """3×3, then 1×1; where channels double, two 1×1 whose results are concatenated."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = InfoBlock(inputs, inputs, 3, stride)
        self.second = nn.ModuleList(InfoBlock(inputs, inputs, 1) for _ in range(outputs // inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([block(x) for block in self.second], dim=1)


class BNext(nn.Module):
    """A float stem and last layer, `plan` between them."""

    def __init__(
        self, width: int = 32, plan: Sequence[tuple[int, int]] = TINY_PLAN, classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        blocks = []
        inputs = width
        for factor, stride in plan:
            blocks.append(Block(inputs, width * factor, stride))
            inputs = width * factor
        self.blocks = nn.Sequential(*blocks)
        self.prelu = nn.PReLU(inputs)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.prelu(self.blocks(self.stem(x))))
        return self.fc(x.flatten(1))
