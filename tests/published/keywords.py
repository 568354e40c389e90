"""Binary keyword spotting on one axis, in the manner of residual temporal convolutions.

The input is a spectrogram [N, bands, frames]; convolutions go over frames, with a stride
in some, and a dilation in others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLAN = [(1, 1, 1), (2, 2, 1), (2, 1, 2)]


class BinaryConv1d(nn.Conv1d):
    """Signs of weights and of the input; one scale for each filter."""

    def forward(self, x: Tensor) -> Tensor:
        hard = torch.where(x > 0, torch.ones_like(x), -torch.ones_like(x))
        soft = torch.tanh(x)
        x = hard.detach() + soft - soft.detach()
        alpha = self.weight.abs().mean(dim=(1, 2), keepdim=True)
        weight = torch.where(self.weight >= 0, 1.0, -1.0) * alpha
        return F.conv1d(x, weight, None, self.stride, self.padding, self.dilation)


class TemporalBlock(nn.Module):
    """Two convolutions over time and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = BinaryConv1d(inputs, outputs, 9, stride, padding=4)
        self.norm1 = nn.BatchNorm1d(outputs)
        self.conv2 = BinaryConv1d(outputs, outputs, 5, padding=2 * dilation, dilation=dilation)
        self.norm2 = nn.BatchNorm1d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool1d(stride, stride, ceil_mode=True),
                nn.Conv1d(inputs, outputs, 1, bias=False),
                nn.BatchNorm1d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(y))
        return y + self.shortcut(x)


class KeywordNet(nn.Module):
    """A float first and last layer; `plan`: each block's factor of the width, stride, dilation."""

    def __init__(
        self,
        width: int = 64,
        bands: int = 40,
        plan: Sequence[tuple[int, int, int]] = PLAN,
        classes: int = 12,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv1d(bands, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.blocks = nn.Sequential()
        inputs = width
        for factor, stride, dilation in plan:
            self.blocks.append(TemporalBlock(inputs, width * factor, stride, dilation))
            inputs = width * factor
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.norm(self.stem(x)))
        return self.fc(F.adaptive_avg_pool1d(x, 1).squeeze(-1))
