"""What running a network on the example shows about its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from .trace import Traced

aten = torch.ops.aten

_COMPARISONS = (
    *(aten.lt.Scalar, aten.lt.Tensor, aten.le.Scalar, aten.le.Tensor),
    *(aten.gt.Scalar, aten.gt.Tensor, aten.ge.Scalar, aten.ge.Tensor),
)
# Sums of whole numbers are exactly 0 one time in ten, say; other sums one time in ten million.
OFTEN = 1e-3


@dataclass(frozen=True)
class Observed:
    """zeros: names of traced signs of which more than one in a thousand is of an exact 0.

    answers: the network's outputs for the example.
    """

    zeros: frozenset[str]
    answers: tuple[Tensor, ...]


def observe(traced: Traced) -> Observed:
    """Runs the traced module on the example."""
    watched = _Watched(traced.network(traced.module))
    with torch.no_grad():
        answers = watched.run(*traced.recording.example)
    return Observed(frozenset(watched.found), tuple(answers))


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
            if same.double().mean() > OFTEN:
                self.found.add(node.name)
        return super().run_node(node)
