"""BinaryConnect and BinaryNet (Courbariaux, Hubara et al., 2015 and 2016).

The layer keeps its latent weights beside the parameter and writes their signs into the
parameter in each forward; so does it with its input. BinaryConnect leaves activations float.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class BinarizeConv2d(nn.Conv2d):
    """Rewrites `weight.data` and, but for the first layer, `input.data` in forward."""

    def forward(self, input: Tensor) -> Tensor:
        if input.size(1) != 3:
            input.data = input.data.sign()
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        out = F.conv2d(input, self.weight, None, self.stride, self.padding)
        if self.bias is not None:
            self.bias.org = self.bias.data.clone()
            out += self.bias.view(1, -1, 1, 1).expand_as(out)
        return out


class BinarizeLinear(nn.Linear):
    """The same for dense layers."""

    def forward(self, input: Tensor) -> Tensor:
        input.data = input.data.sign()
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        out = F.linear(input, self.weight)
        if self.bias is not None:
            self.bias.org = self.bias.data.clone()
            out += self.bias.view(1, -1).expand_as(out)
        return out


class ConnectConv2d(nn.Conv2d):
    """BinaryConnect: binary weights on float activations."""

    def forward(self, input: Tensor) -> Tensor:
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding)


class BinaryNetVGG(nn.Module):
    """Two convolutions a stage and three dense layers, all with binary weights."""

    def __init__(
        self,
        width: int = 128,
        hidden: int = 1024,
        size: int = 32,
        stages: Sequence[int] = (1, 2, 4),
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in [width * factor for factor in stages]:
            for pool in (False, True):
                layers.append(BinarizeConv2d(inputs, outputs, 3, padding=1, bias=True))
                if pool:
                    layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                layers.append(nn.BatchNorm2d(outputs))
                layers.append(nn.Hardtanh(inplace=True))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.rows = inputs * (size // 2 ** len(stages)) ** 2
        self.classifier = nn.Sequential(
            BinarizeLinear(self.rows, hidden, bias=True),
            nn.BatchNorm1d(hidden),
            nn.Hardtanh(inplace=True),
            BinarizeLinear(hidden, hidden, bias=True),
            nn.BatchNorm1d(hidden),
            nn.Hardtanh(inplace=True),
            BinarizeLinear(hidden, classes, bias=True),
            nn.BatchNorm1d(classes, affine=False),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(x.view(-1, self.rows))


class BinaryConnectVGG(nn.Module):
    """Binary weights and ReLU: nothing here has binary activations."""

    def __init__(self, width: int = 128, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width, 4 * width):
            layers.append(ConnectConv2d(inputs, outputs, 3, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
            layers.append(nn.MaxPool2d(2))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
