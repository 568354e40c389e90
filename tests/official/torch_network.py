"""A described network in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .description import AveragePool, Conv, Layer, Linear, MaxPool, Network, Norm, Relu, Residual


class Sign(nn.Module):
    """+1 where the input is not below 0, else -1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, -1.0, 1.0)


class PaddedConv(nn.Module):
    """Convolution of an image surrounded by one value."""

    def __init__(self, layer: Conv) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(layer.weight))
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer, padding = self.layer, self.layer.padding
        if layer.border and padding:
            x = functional.pad(x, (padding,) * 4, value=layer.border)
            padding = 0
        return functional.conv2d(x, self.weight, None, layer.stride, padding, layer.dilation)


class Sum(nn.Module):
    """The sum of two ways."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


def build(network: Network) -> nn.Module:
    """The network in evaluation mode: float32 [N, C, H, W] -> logits [N, K]."""
    return nn.Sequential(*_modules(network.layers)).eval()


def _modules(layers: list[Layer]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    flat = False
    for layer in layers:
        match layer:
            case Conv():
                modules += [Sign()] * layer.binary + [PaddedConv(layer)]
            case Linear():
                linear = nn.Linear(layer.weight.shape[1], len(layer.weight), bias=False)
                linear.weight.data = torch.from_numpy(layer.weight)
                modules += [Sign()] * layer.binary + [nn.Flatten()] * (not flat) + [linear]
                flat = True
            case Norm():
                modules.append(_norm(layer, flat))
            case Relu():
                modules.append(nn.ReLU())
            case MaxPool():
                modules.append(nn.MaxPool2d(2))
            case AveragePool():
                modules.append(nn.AvgPool2d(layer.size))
            case Residual():
                ways = (nn.Sequential(*_modules(way)) for way in (layer.body, layer.shortcut))
                modules.append(Sum(*ways))
    return modules


def _norm(layer: Norm, flat: bool) -> nn.Module:
    norm = (nn.BatchNorm1d if flat else nn.BatchNorm2d)(len(layer.mean))
    norm.weight.data = torch.from_numpy(layer.scale)
    norm.bias.data = torch.from_numpy(layer.shift)
    norm.running_mean = torch.from_numpy(layer.mean)
    norm.running_var = torch.from_numpy(layer.variance)
    return norm
