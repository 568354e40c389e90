"""Random binary networks in plain torch, with the corners where converters go wrong.

Channels 1 to 200, kernels 1 to 5, strides, dilations, groups, borders of +1,
0 and -1, pooling before and after batch-norm, negative and zero batch-norm
scales, integer means that put the accumulator exactly on the threshold,
residual connections, odd sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from sbn_deploy.export import onnx_model
from sbn_deploy.export.onnx_model import Built
from sbn_deploy.oracle import validate_members


class Sign(nn.Module):
    """+1 where the input is not below 0, else -1."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.where(a < 0, -1.0, 1.0)


class Shift(nn.Module):
    """Plus a number for each channel."""

    def __init__(self, channels: int, *image: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.randn(channels, *(1 for _ in image)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.value


def random_signs(*shape: int) -> Tensor:
    """Uniform +1 and -1."""
    return torch.randint(0, 2, shape).float() * 2 - 1


@dataclass(frozen=True)
class ConvSpec:
    """One convolution block.

    `pool` is "", "before" the batch-norm or "after" its sign; `activation` is "",
    "relu" before the batch-norm, or "hardtanh" or "prelu" after it.
    """

    channels: int
    kernel: int
    stride: int
    dilation: int
    padding: int
    border: int
    groups: int
    pool: str
    bias: bool
    residual: bool
    activation: str


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network and the seed of its weights."""

    seed: int
    batch: int
    height: int
    width: int
    channels: int
    convs: tuple[ConvSpec, ...]
    dense: tuple[int, ...]
    classes: int


class BinaryConv(nn.Module):
    """Convolution of signs with weights of +1 and -1 and a border of +1, 0 or -1."""

    def __init__(self, inputs: int, spec: ConvSpec, bias: bool) -> None:
        super().__init__()
        shape = (spec.channels, inputs // spec.groups, spec.kernel, spec.kernel)
        self.register_buffer("weight", random_signs(*shape))
        self.bias = nn.Parameter(torch.randint(-3, 4, (spec.channels,)).float()) if bias else None
        self.spec = spec

    def forward(self, x: Tensor) -> Tensor:
        spec, padding = self.spec, self.spec.padding
        if spec.border and padding:
            x = functional.pad(x, (padding,) * 4, value=float(spec.border))
            padding = 0
        return functional.conv2d(
            x, self.weight, self.bias, spec.stride, padding, spec.dilation, spec.groups
        )


class BinaryDense(nn.Module):
    """Matrix product of signs with weights of +1 and -1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", random_signs(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


def batch_norm(channels: int, products: int, two_dimensional: bool) -> nn.Module:
    """Inference batch-norm with scales of both signs and zero, and means that make ties."""
    norm = nn.BatchNorm2d(channels) if two_dimensional else nn.BatchNorm1d(channels)
    spread = products**0.5
    norm.weight.data = torch.randn(channels) * (torch.rand(channels) > 0.15)
    norm.bias.data = torch.randn(channels) * (torch.rand(channels) > 0.4)
    norm.running_mean = torch.round(torch.randn(channels) * spread)
    fractional = torch.rand(channels) > 0.5
    norm.running_mean[fractional] += torch.rand(int(fractional.sum()))
    norm.running_var = torch.rand(channels) * products + 0.1
    return norm


class ConvBlock(nn.Module):
    """Convolution, batch-norm and sign, with pooling or a shortcut where asked."""

    def __init__(self, inputs: int, spec: ConvSpec) -> None:
        super().__init__()
        self.conv = BinaryConv(inputs, spec, spec.bias)
        products = inputs // spec.groups * spec.kernel**2
        self.norm = batch_norm(spec.channels, products, two_dimensional=True)
        self.pool = nn.MaxPool2d(2) if spec.pool else nn.Identity()
        self.relu = nn.ReLU() if spec.activation == "relu" else nn.Identity()
        self.after = {
            "hardtanh": nn.Hardtanh(-0.5, 1),
            "prelu": nn.PReLU(spec.channels, init=0.25),
        }.get(spec.activation, nn.Identity())
        self.sign = Sign()
        self.before = spec.pool == "before"
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(self.conv(x))
        a = self.after(self.norm(self.pool(a)) if self.before else self.norm(a))
        if self.residual and a.shape == x.shape:
            a = a + x
        x = self.sign(a)
        return x if self.before else self.pool(x)


class RandomNetwork(nn.Module):
    """Signs of the input through the blocks to logits."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.sign = Sign()
        blocks: list[nn.Module] = []
        channels = spec.channels
        for conv in spec.convs:
            blocks.append(ConvBlock(channels, conv))
            channels = conv.channels
        self.blocks = nn.Sequential(*blocks).eval()
        features = self.blocks(torch.zeros(1, spec.channels, spec.height, spec.width)).numel()
        layers: list[nn.Module] = [nn.Flatten()]
        for outputs in spec.dense:
            norm = batch_norm(outputs, features, two_dimensional=False)
            layers += [BinaryDense(features, outputs), norm, Sign()]
            features = outputs
        layers += [
            BinaryDense(features, spec.classes),
            batch_norm(spec.classes, features, two_dimensional=False),
        ]
        self.head = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.sign(x)))


def build(spec: NetworkSpec) -> tuple[nn.Module, Tensor]:
    """The network in evaluation mode and a batch of inputs with exact zeros in it."""
    torch.manual_seed(spec.seed)
    network = RandomNetwork(spec).eval()
    x = torch.randn(spec.batch, spec.channels, spec.height, spec.width)
    x[torch.rand(x.shape) < 0.1] = 0.0
    return network, x


def exact(
    members: list[nn.Module], example: Tensor, x: Tensor | None = None, **options: Any
) -> Built:
    """The modules' model, which every engine answers as torch does.

    x: other inputs than those of the export. options: see `build`.
    """
    made = onnx_model.build(members, example, **options)
    inputs = example if x is None else x
    results = validate_members(made.proto, members, inputs.numpy(), traced=made.traced)
    assert [result for result in results if not result.ok] == []
    return made


@st.composite
def networks(draw: st.DrawFn) -> NetworkSpec:
    """Networks whose spatial size never falls below 1."""
    height = rows = draw(st.integers(1, 11))
    width = columns = draw(st.integers(1, 11))
    first = channels = draw(st.integers(1, 200))
    convs = []
    for _ in range(draw(st.integers(0, 3))):
        kernel = draw(st.integers(1, 5))
        dilation = draw(st.integers(1, 2))
        reach = dilation * (kernel - 1) + 1
        padding = draw(st.integers(0, 3))
        if min(rows, columns) + 2 * padding < reach:
            continue
        stride = draw(st.integers(1, 2))
        groups = draw(st.sampled_from([g for g in (1, 1, 2, 3) if channels % g == 0]))
        outputs = groups * draw(st.integers(1, 200 // groups))
        rows = (rows + 2 * padding - reach) // stride + 1
        columns = (columns + 2 * padding - reach) // stride + 1
        pool = draw(st.sampled_from(["", "before", "after"])) if min(rows, columns) > 1 else ""
        if pool:
            rows, columns = rows // 2, columns // 2
        residual = not pool and draw(st.booleans())
        convs.append(
            ConvSpec(
                channels=outputs,
                kernel=kernel,
                stride=stride,
                dilation=dilation,
                padding=padding,
                border=draw(st.sampled_from([-1, 0, 1])),
                groups=groups,
                pool=pool,
                bias=draw(st.booleans()),
                residual=residual,
                activation=draw(st.sampled_from(["", "", "relu", "hardtanh", "prelu"])),
            )
        )
        channels = outputs
    return NetworkSpec(
        seed=draw(st.integers(0, 2**31 - 1)),
        batch=draw(st.integers(1, 5)),
        height=height,
        width=width,
        channels=first,
        convs=tuple(convs),
        dense=tuple(draw(st.lists(st.integers(1, 200), max_size=2))),
        classes=draw(st.integers(2, 12)),
    )
