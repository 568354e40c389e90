"""The trunk that binary residual networks share: a float stem, stages of blocks, a float head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Block = Callable[[int, int, int], nn.Module]
RESNET18 = (2, 2, 2, 2)


class ResNet(nn.Module):
    """`block(inputs, outputs, stride)` makes a block; `depths` says how many a stage has."""

    def __init__(
        self,
        block: Block,
        width: int = 64,
        depths: Sequence[int] = RESNET18,
        classes: int = 1000,
        *,
        small_images: bool = False,
    ) -> None:
        super().__init__()
        if small_images:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
            self.maxpool: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        channels, stages = width, []
        for index, depth in enumerate(depths):
            outputs = width * 2**index
            blocks = []
            for position in range(depth):
                stride = 2 if index and not position else 1
                blocks.append(block(channels, outputs, stride))
                channels = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)))
        x = self.avgpool(self.stages(x))
        return self.fc(torch.flatten(x, 1))
