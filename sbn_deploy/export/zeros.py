"""Which signs a network takes of floats that are exactly 0, by running it on the example.

Sums of whole numbers are, one in ten of them say, which `torch.sign` makes 0; other
sums are by a rounding only, once in ten million.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from .trace import Traced

aten = torch.ops.aten

_COMPARISONS = (
    *(aten.lt.Scalar, aten.lt.Tensor, aten.le.Scalar, aten.le.Tensor),
    *(aten.gt.Scalar, aten.gt.Tensor, aten.ge.Scalar, aten.ge.Tensor),
)
_OFTEN = 1e-3


def signs_of_zeros(traced: Traced) -> set[str]:
    """Names of traced signs of which more than one in a thousand is of an exact 0."""
    watched = _Watched(traced.network(traced.module), garbage_collect_values=True)
    with torch.no_grad():
        watched.run(*traced.recording.example)
    return watched.found


class _Watched(fx.Interpreter):
    """Looks at what signs are taken of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.found: set[str] = set()

    def run_node(self, node: fx.Node) -> Any:
        if node.target is aten.sign.default or node.target in _COMPARISONS:
            left, right = [
                self.env[operand] if isinstance(operand, fx.Node) else operand
                for operand in (*node.args, 0)[:2]
            ]
            same = torch.as_tensor(left == right)
            if same.double().mean() > _OFTEN:
                self.found.add(node.name)
        return super().run_node(node)
