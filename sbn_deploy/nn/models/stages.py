"""What networks without shortcuts are made of."""

from __future__ import annotations

from torch import Tensor, nn

from sbn_deploy.nn.models.network import Last, Layers


class InOrder(nn.Module):
    """Runs its parts one after the other, in the order in which they were set."""

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


def stage(
    layers: Layers, name: str, layer: nn.Module, norm: nn.Module, pool: nn.Module | None = None
) -> nn.Sequential:
    """The layer, under its name, pool, batch-norm, sign: pooling precedes the batch-norm."""
    made = nn.Sequential()
    made.add_module(name, layer)
    if pool is not None:
        made.add_module("pool", pool)
    made.add_module("norm", norm)
    made.add_module("sign", layers.activation())
    return made


def dense(layers: Layers, inputs: int, outputs: int) -> nn.Sequential:
    """A linear layer with batch-norm and sign."""
    return stage(layers, "linear", layers.linear(inputs, outputs), nn.BatchNorm1d(outputs))


def head(layers: Layers, inputs: int, classes: int, last: Last) -> nn.Sequential:
    """The last layer, with a batch-norm."""
    made = nn.Sequential()
    made.add_module("linear", layers.output_linear(inputs, classes, weights=last))
    made.add_module("norm", nn.BatchNorm1d(classes))
    return made
