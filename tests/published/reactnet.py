"""ReActNet (Liu et al., ECCV 2020): signs and PReLUs with learned shifts.

The first network is MobileNet-like: a binary 3×3 convolution, then a binary 1×1 one, which
where channels double runs twice and is concatenated. The second is a ResNet-18.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import ResNet

# Channels of the blocks' outputs in units of the width, with the stride of each.
MOBILENET = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)]


class BinaryActivation(nn.Module):
    """sign(x), with the gradient of Bi-Real's polynomial."""

    def forward(self, x: Tensor) -> Tensor:
        out_forward = torch.sign(x)
        mask1 = (x < -1).type(torch.float32)
        mask2 = (x < 0).type(torch.float32)
        mask3 = (x < 1).type(torch.float32)
        out1 = -1 * mask1 + (x * x + 2 * x) * (1 - mask1)
        out2 = out1 * mask2 + (-x * x + 2 * x) * (1 - mask2)
        out3 = out2 * mask3 + 1 * (1 - mask3)
        return out_forward.detach() - out3.detach() + out3


class LearnableBias(nn.Module):
    """A shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.1 * torch.randn(1, channels, 1, 1), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.expand_as(x)


class RPReLU(nn.Module):
    """A PReLU shifted in both directions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = LearnableBias(channels)
        self.prelu = nn.PReLU(channels)
        self.after = LearnableBias(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.prelu(self.before(x)))


class HardBinaryConv(nn.Module):
    """Weights are sign(w) * mean|w| of each filter."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.rand(outputs, inputs, kernel, kernel) * 0.002 - 0.001)

    def forward(self, x: Tensor) -> Tensor:
        real = self.weight
        scale = torch.mean(
            torch.mean(torch.mean(abs(real), dim=3, keepdim=True), dim=2, keepdim=True),
            dim=1,
            keepdim=True,
        )
        scale = scale.detach()
        hard = scale * torch.sign(real)
        clipped = torch.clamp(real, -1.0, 1.0)
        binary = hard.detach() - clipped.detach() + clipped
        return F.conv2d(x, binary, stride=self.stride, padding=self.padding)


class MobileBlock(nn.Module):
    """A 3×3 convolution and one or two 1×1 ones, each with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.move11 = LearnableBias(inputs)
        self.binary_3x3 = HardBinaryConv(inputs, inputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.act1 = RPReLU(inputs)
        self.move21 = LearnableBias(inputs)
        if inputs == outputs:
            self.binary_pw = HardBinaryConv(inputs, outputs, 1)
            self.bn2 = nn.BatchNorm2d(outputs)
        else:
            self.binary_pw_down1 = HardBinaryConv(inputs, inputs, 1)
            self.binary_pw_down2 = HardBinaryConv(inputs, inputs, 1)
            self.bn2_1 = nn.BatchNorm2d(inputs)
            self.bn2_2 = nn.BatchNorm2d(inputs)
        self.act2 = RPReLU(outputs)
        self.binary_activation = BinaryActivation()
        self.stride, self.same = stride, inputs == outputs
        self.pooling = nn.AvgPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        out1 = self.bn1(self.binary_3x3(self.binary_activation(self.move11(x))))
        if self.stride == 2:
            x = self.pooling(x)
        out1 = self.act1(x + out1)
        out2 = self.binary_activation(self.move21(out1))
        if self.same:
            out2 = self.bn2(self.binary_pw(out2))
            out2 += out1
        else:
            out2_1 = self.bn2_1(self.binary_pw_down1(out2))
            out2_2 = self.bn2_2(self.binary_pw_down2(out2))
            out2_1 += out1
            out2_2 += out1
            out2 = torch.cat([out2_1, out2_2], dim=1)
        return self.act2(out2)


class ReActNet(nn.Module):
    """The MobileNet-like network; `plan` lists the blocks."""

    def __init__(
        self, width: int = 32, plan: Sequence[tuple[int, int]] = MOBILENET, classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.feature = nn.ModuleList()
        inputs = width
        for factor, stride in plan:
            self.feature.append(MobileBlock(inputs, width * factor, stride))
            inputs = width * factor
        self.pool1 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.feature:
            x = block(x)
        x = self.pool1(x)
        return self.fc(x.view(x.size(0), -1))


class ResidualBlock(nn.Module):
    """The block of the ResNet-18: one convolution and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.move0 = LearnableBias(inputs)
        self.binary_activation = BinaryActivation()
        self.binary_conv = HardBinaryConv(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act = RPReLU(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(kernel_size=2, stride=stride),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        out = self.bn1(self.binary_conv(self.binary_activation(self.move0(x))))
        if self.downsample is not None:
            residual = self.downsample(x)
        out += residual
        return self.act(out)


def reactnet_resnet18(
    width: int = 64, depths: Sequence[int] = (4, 4, 4, 4), classes: int = 1000
) -> nn.Module:
    """ResNet-18, of which each block became two."""
    return ResNet(ResidualBlock, width, depths, classes)
