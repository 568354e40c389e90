"""In the manner of BiPointNet (Qin et al., ICLR 2021): binary layers shared by all points.

Convolutions of kernel 1 over points [N, 3, points], their maximum over points, dense layers.
Each binary layer has one learned scale (layer-wise scale recovery).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinaryQuantize(torch.autograd.Function):
    """sign(x), cut off beyond 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[x.abs() > 1] = 0
        return grad_input


class BiConv1d(nn.Conv1d):
    """A binary layer on each point, with centred weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean([1, 2], keepdim=True)
        out = F.conv1d(BinaryQuantize.apply(x), BinaryQuantize.apply(w))
        return out * self.scale


class BiLinear(nn.Linear):
    """A binary dense layer with a scale."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=True)
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean(1, keepdim=True)
        out = F.linear(BinaryQuantize.apply(x), BinaryQuantize.apply(w))
        return out * self.scale + self.bias


class PointNet(nn.Module):
    """Classifies a cloud of points."""

    def __init__(self, width: int = 64, classes: int = 40) -> None:
        super().__init__()
        w = width
        self.conv1 = nn.Conv1d(3, w, 1)
        self.conv2 = BiConv1d(w, 2 * w)
        self.conv3 = BiConv1d(2 * w, 16 * w)
        self.bn1, self.bn2 = nn.BatchNorm1d(w), nn.BatchNorm1d(2 * w)
        self.bn3 = nn.BatchNorm1d(16 * w)
        self.fc1, self.fc2 = BiLinear(16 * w, 8 * w), BiLinear(8 * w, 4 * w)
        self.bn4, self.bn5 = nn.BatchNorm1d(8 * w), nn.BatchNorm1d(4 * w)
        self.fc3 = nn.Linear(4 * w, classes)
        self.act = nn.Hardtanh()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x = torch.max(x, 2, keepdim=True)[0].view(x.size(0), -1)
        x = self.act(self.bn4(self.fc1(x)))
        x = self.act(self.bn5(self.fc2(x)))
        return F.log_softmax(self.fc3(x), dim=1)
