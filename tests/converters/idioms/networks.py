"""Networks with one branch for each idiom of a group, so that one export tries them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .table import ACTIVATIONS, BETWEEN, LAYERS, WEIGHTS, Idiom

CHANNELS = 24
SIZE = 6


class SignFunction(torch.autograd.Function):
    """A sign with a straight-through gradient, as most codes write it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


def fill_zeros(s: Tensor) -> Tensor:
    """Signs whose zeros are replaced in place."""
    s[s == 0] = 1
    return s


def bi_real(x: Tensor) -> Tensor:
    """sign(x), with the gradient of a piecewise polynomial (Bi-Real Net, section 3.3)."""
    near = torch.where(x < 0, x * x + 2 * x, 2 * x - x * x)
    smooth = torch.where(x < -1, -1.0, torch.where(x < 1, near, 1.0))
    return torch.sign(x).detach() - smooth.detach() + smooth


def norm(channels: int) -> nn.Module:
    """A batch-norm as if trained, some of its weights negative."""
    module = nn.BatchNorm2d(channels)
    with torch.no_grad():
        module.weight.uniform_(0.5, 1.5)
        module.weight[::4] *= -1
        module.bias.normal_(0, 0.3)
    assert module.running_mean is not None
    assert module.running_var is not None
    module.running_mean.normal_()
    module.running_var.fill_(30)
    return module


class scale(nn.Module):
    """Times a trained number for each channel."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(shape) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.alpha


class plus(nn.Module):
    """Plus a Python number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


def signs(*shape: int) -> Tensor:
    """Random +1 and -1."""
    return torch.where(torch.randn(shape) < 0, -1.0, 1.0)


_NAMES = {
    "C": CHANNELS,
    "F": functional,
    "SignFunction": SignFunction,
    "a": torch.linspace(0.1, 1, CHANNELS).reshape(-1, 1, 1),
    "bi_real": bi_real,
    "fill_zeros": fill_zeros,
    "nn": nn,
    "norm": norm,
    "np": np,
    "plus": plus,
    "scale": scale,
    "torch": torch,
}


def _function(code: str, parameters: str, **names: object) -> Callable[..., Any]:
    made: Callable[..., Any] = eval(f"lambda {parameters}: {code}", {**_NAMES, **names})
    return made


class Layer(nn.Module):
    """A layer under test, which its code computes from its input and latent weights."""

    def __init__(self, code: str, weight: Tensor | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(
            0.1 * torch.randn(CHANNELS, CHANNELS, 3, 3, generator=generator)
            if weight is None
            else weight
        )
        self.bias = nn.Parameter(torch.linspace(-3, 3, CHANNELS))
        self.function = _function(code, "s, w, bias")

    def forward(self, s: Tensor) -> Tensor:
        result: Tensor = self.function(s, self.weight.detach(), self.bias.detach())
        return result


class Activation(nn.Module):
    """An activation under test."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.function = _function(code, "x")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.function(x.clone())
        return result


def branch(group: str, idiom: Idiom) -> nn.Sequential:
    """One idiom between a float and the layer that it concerns."""
    plain = Activation(ACTIVATIONS[0].code)
    convolution = "F.conv2d(s, torch.where(w < 0, -1.0, 1.0), padding=1)"
    match group:
        case "activations":
            return nn.Sequential(Activation(idiom.code), Layer(convolution))
        case "weights":
            return nn.Sequential(plain, Layer(f"F.conv2d(s, {idiom.code}, padding=1)"))
        case "between":
            modules = _function(f"({idiom.code},)", "")()
            return nn.Sequential(plain, Layer(convolution), *modules, plain, Layer(convolution))
        case "layers":
            weight = None
            if "dense" in idiom.code:
                weight = 0.1 * torch.randn(10, CHANNELS * SIZE * SIZE)
            code = _with_signs(idiom.code.replace("dense", "b"))
            return nn.Sequential(plain, Layer(code, weight))
    raise ValueError(group)


def _with_signs(code: str) -> str:
    """`b` stands for the signs of the latent weights."""
    return re.sub(r"\bb\b", "torch.where(w < 0, -1.0, 1.0)", code)


GROUPS = {
    "activations": ACTIVATIONS,
    "weights": WEIGHTS,
    "between": BETWEEN,
    "layers": LAYERS,
}


class Branches(nn.Module):
    """Idioms of a group on one input, behind a batch-norm; an output for each."""

    def __init__(self, group: str, idioms: Sequence[Idiom]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = norm(CHANNELS)
        self.branches = nn.ModuleList(branch(group, idiom) for idiom in idioms)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.norm(x)
        return {f"branch{i}": module(y) for i, module in enumerate(self.branches)}
