"""A dense network of numbers in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from sbn_deploy.nn.models.network import Float, Layers, Network, check_choice, check_counts
from sbn_deploy.nn.models.stages import InOrder, dense, stage
from sbn_runtime.errors import ConfigError


class Mlp(InOrder, Network, arch="mlp"):
    """features - width - depth times width - classes: x float32 [N, features] -> [N, classes].

    Each layer but the last is followed by batch-norm and sign. The first one, on the features, and
    the last one are real or in 8 bits, those between them binary.

    Args:
        features: numbers in a row.
        classes: of the answer: classes, or numbers.
        width, depth: outputs of each hidden layer, and how many binary layers there are.
        first, last: weights of the first and the last layer, "real" or "int8".
        target_mean, target_std: of the numbers to answer with, [classes], std above 0: the
            network's output times std plus mean is the answer, in the unit of the targets. Empty:
            the output as it is.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        features: int = 10,
        classes: int = 1,
        width: int = 64,
        depth: int = 1,
        first: Float = "real",
        last: Float = "real",
        target_mean: Sequence[float] = (),
        target_std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        check_counts(features=features, classes=classes, width=width, depth=depth)
        check_choice("first", first, get_args(Float))
        check_choice("last", last, get_args(Float))
        entry = layers.float_linear(features, width, weights=first)
        self.entry = stage(layers, "linear", entry, nn.BatchNorm1d(width))
        self.hidden = nn.Sequential(*(dense(layers, width, width) for _ in range(depth)))
        self.head = layers.float_linear(width, classes, weights=last)
        if target_mean or target_std:
            self.unit = _Unit(target_mean, target_std, classes)


class _Unit(nn.Module):
    """z [N, K] standardised -> std z + mean, in the unit of the targets."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], outputs: int) -> None:
        super().__init__()
        if not len(mean) == len(std) == outputs or min(std) <= 0:
            raise ConfigError(
                f"target_mean is {list(mean)} and target_std {list(std)}; each needs {outputs}"
                " numbers, one for each output, with std above 0"
            )
        # Settings hold them, so that checkpoints need not.
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        return z * self.std + self.mean
