"""The whole-number sums of binary layers, and whether what follows can make them exactly zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..chains import channel_step, is_plain_pool
from ..channelwise import Add, ChannelStep, apply_all


@dataclass(frozen=True)
class _Sum:
    products: int
    padded: bool
    channels: int
    bias: NDArray[np.float32] | None


class Accumulators:
    """Outputs of binary layers, with the number of products in each sum."""

    def __init__(self) -> None:
        self._sums: dict[ir.Value, _Sum] = {}

    def add(
        self,
        value: ir.Value,
        products: int,
        channels: int,
        *,
        padded: bool,
        bias: NDArray[np.float32] | None = None,
    ) -> None:
        """Enters a layer's output: sums of `products` terms, fewer at a border if padded."""
        self._sums[value] = _Sum(products, padded, channels, bias)

    def reaches_zero(self, value: ir.Value) -> bool | None:
        """Whether some sum gives exactly 0 here; None if the value is not a function of one sum.

        Steps are evaluated in the network's own arithmetic at every sum there can be.
        """
        steps: list[ChannelStep] = []
        while value not in self._sums:
            node = value.producer()
            if node is None or not node.inputs or node.inputs[0] is None:
                return None
            if node.op_type == "MaxPool" and is_plain_pool(node):
                value = node.inputs[0]
                continue
            found = channel_step(node)
            if found is None:
                return None
            value = found[0]
            steps.insert(0, found[2])
        found_sum = self._sums[value]
        if found_sum.bias is not None:
            steps.insert(0, Add(np.broadcast_to(found_sum.bias, (found_sum.channels,))))
        step = 1 if found_sum.padded else 2
        sums = np.arange(-found_sum.products, found_sum.products + 1, step, np.float32)
        for start in range(0, found_sum.channels, 64):
            block = slice(start, min(start + 64, found_sum.channels))
            chosen = [item.select(block) for item in steps]
            wide = np.broadcast_to(sums[:, None], (len(sums), block.stop - start))
            if (apply_all(chosen, wide) == 0).any():
                return True
        return False
