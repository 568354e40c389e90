"""Binary dense layers on sequences [N, T, C]: feed-forward blocks and a mixer of tokens.

The mixer is in the manner of binary vision MLPs (Xu et al., 2022): images are cut into patches,
binary dense layers mix tokens, across a transposition, and channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinaryLinear(nn.Linear):
    """sign of a shifted input, sign(w) * mean|w| of each row, on the last axis."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=True)
        self.move = nn.Parameter(0.1 * torch.randn(inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.move
        x = torch.where(x < 0, -1.0, 1.0).detach() - torch.tanh(x).detach() + torch.tanh(x)
        weight = torch.sign(self.weight) * self.weight.abs().mean(1, keepdim=True)
        return F.linear(x, weight, self.bias)


class FeedForward(nn.Module):
    """Layer norm, a wide layer, PReLU, back, shortcut."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = BinaryLinear(channels, hidden), BinaryLinear(hidden, channels)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(self.norm(x))))


class SequenceNet(nn.Module):
    """Classifies sequences of vectors [N, T, inputs]."""

    def __init__(self, width: int = 256, inputs: int = 40, depth: int = 4, classes: int = 20):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*[FeedForward(width, 4 * width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x))).mean(dim=1))


class MixerBlock(nn.Module):
    """Mixes tokens, then channels."""

    def __init__(self, tokens: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = BinaryLinear(tokens, hidden), BinaryLinear(hidden, tokens)
        self.act = nn.PReLU()
        self.channels = FeedForward(channels, 4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).transpose(1, 2)
        y = self.down(self.act(self.up(y)))
        return self.channels(x + y.transpose(1, 2))


class Mixer(nn.Module):
    """A float embedding of patches, blocks, a float head."""

    def __init__(
        self,
        width: int = 256,
        size: int = 224,
        patch: int = 16,
        depth: int = 8,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        tokens = (size // patch) ** 2
        self.blocks = nn.Sequential(*[MixerBlock(tokens, width, 2 * tokens) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))
