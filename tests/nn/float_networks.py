"""Ordinary float networks, as people write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Vgg(nn.Module):
    """Convolutions with or without batch-norm, a classifier of three linear layers."""

    def __init__(self, *, norms: bool = True) -> None:
        super().__init__()
        features: list[nn.Module] = []
        inputs = 3
        for outputs in (16, 0, 32, 32, 0):
            if not outputs:
                features.append(nn.MaxPool2d(2))
                continue
            features.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            if norms:
                features.append(nn.BatchNorm2d(outputs))
            features.append(nn.ReLU(inplace=True))
            inputs = outputs
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Linear(32 * 16, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(64, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(64, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = x.view(x.size(0), -1)
        y: Tensor = self.classifier(x)
        return y


class Block(nn.Module):
    """A residual block whose one rectifier is called twice, in place."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        y: Tensor = self.relu(out)
        return y


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = Block(16, 16, 1)
        self.layer2 = Block(16, 32, 2)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = F.dropout(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1), 0.2, self.training)
        y: Tensor = self.fc(x)
        return y


class Bottleneck(nn.Module):
    """1x1, grouped 3x3, 1x1, and a shortcut that pools; functional rectifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.conv1 = nn.Conv2d(16, 32, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, 2, 2, dilation=2, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 32, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(32)
        self.down = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32)
        )
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out = F.relu(self.bn1(self.conv1(x)))
        out = torch.relu_(self.bn2(self.conv2(out)))
        out = F.relu(self.bn3(self.conv3(out)) + self.down(x), inplace=True)
        y: Tensor = self.fc(out.mean((2, 3)))
        return y


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1))))
        return x * torch.sigmoid(weights)


class MobileNet(nn.Module):
    """1x1 and depthwise convolutions, a gate, and an addition of normalised values."""

    def __init__(self) -> None:
        super().__init__()

        def unit(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
            conv = nn.Conv2d(
                inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False
            )
            return [conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)]

        self.stem = nn.Sequential(*unit(3, 16, 3))
        self.block = nn.Sequential(
            *unit(16, 32, 1), *unit(32, 32, 3, 32), Gate(32), *unit(32, 16, 1)[:2]
        )
        self.again = nn.Sequential(*unit(16, 32, 1), *unit(32, 32, 3, 32), *unit(32, 16, 1)[:2])
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.stem(x))
        x = x + self.again(x)
        y: Tensor = self.head(x.mean([2, 3]))
        return y


def signals() -> nn.Sequential:
    """A network of signals [N, 1, 64]."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 9, padding=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 5, padding="same"),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Conv1d(32, 32, 3, 2, padding=2, dilation=2),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


class Sequences(nn.Module):
    """Dense layers on sequences [N, T, 8], with attention beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)
        self.norm = nn.LayerNorm(32)
        self.widen = nn.Linear(32, 64)
        self.narrow = nn.Linear(64, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.narrow(F.gelu(self.widen(self.norm(x))))
        y: Tensor = self.head(x.mean(1))
        return y


class Guarded(nn.Module):
    """A network whose forward asks for a value, with a block that does so too."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)
        self.conv = nn.Conv2d(32, 32, 3, 1, 1)
        self.skip = nn.Conv2d(32, 32, 1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 1000:
            x = x / x.max()
        x = self.features(x)
        x = F.relu(self.conv(x) + self.skip(x)).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        y: Tensor = self.fc(x.mean(1))
        return y
