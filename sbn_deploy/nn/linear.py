"""The linear layer with Bernoulli weights."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch.nn.functional as F
from torch import Tensor

from sbn_deploy.nn.binary import BinaryLayer, WeightOptions
from sbn_deploy.nn.fixed import FixedLinear


class BinaryLinear(BinaryLayer):
    """x [N, in_features] -> x W^T [N, out_features]; the same for sequences [N, T, in_features].

    Options: `WeightOptions`.

    Example:
        >>> import torch
        >>> from sbn_deploy.nn import BinaryLinear, Sign
        >>> layer = BinaryLinear(64, 10).eval()
        >>> sums = layer(Sign()(torch.randn(2, 5, 64)))  # 5 vectors in each of 2 sequences
        >>> tuple(sums.shape), bool((sums.abs() <= 64).all())
        ((2, 5, 10), True)
    """

    channel_axis: ClassVar[int] = -1

    def __init__(
        self,
        in_features: int,
        out_features: int,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__((out_features, in_features), **options)

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight)

    def fixed_sums(self, weight: Tensor) -> FixedLinear:
        return FixedLinear(weight)

    def extra_repr(self) -> str:
        outputs, inputs = self.latent.shape
        options = f"noise={self.noise.name}, weight_gradient={self.weight_gradient}"
        return f"{inputs}, {outputs}, {options}"
