"""What is spared in torch's export changes no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn
from torch.nn import functional
from torch.onnx._internal.exporter import _fx_passes

from sbn_deploy.tracing import trace as tracing
from sbn_deploy.tracing.trace import trace


class Module(nn.Module):
    """Convolution, batch-norm and what a function makes of them."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layers(x))


def written(module: nn.Module) -> list[tuple[Any, ...]]:
    """The nodes of the module in ONNX that something reads, with values by number."""
    model = trace(module.eval(), torch.ones(1, 2, 8, 8)).model
    RemoveUnusedNodesPass()(model)
    numbers = {value: -1 - index for index, value in enumerate(model.graph.inputs)}
    names = {value: name for name, value in model.graph.initializers.items()}
    found = []
    for node in model.graph:
        read = [names.get(value) or numbers.get(value) for value in node.inputs if value]
        settings = sorted((name, str(value.value)) for name, value in node.attributes.items())
        found.append((node.op_type, read, settings))
        for value in node.outputs:
            numbers[value] = len(numbers)
    return found


def through_a_view(x: Tensor) -> Tensor:
    y = x + 1
    part = y[:, :2]
    y.mul_(3)
    return (part + y[:, 2:]).flatten(1)


@pytest.mark.parametrize(
    ("function", "spared"),
    [
        (lambda x: x.relu().flatten(1), True),
        (lambda x: (x > 0).float().mean((2, 3)) + x[:, :, 0, 0], True),
        (through_a_view, False),
        (lambda x: torch.channel_shuffle(x, 2).flatten(1), False),
        (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear").flatten(1), False),
    ],
    ids=["one", "several", "in place", "without an ONNX form", "of Python"],
)
def test_programs_are_decomposed_where_it_changes_them(
    function: Callable[[Tensor], Tensor], spared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(program: Any, registry: Any) -> Any:
        calls.append(program)
        return decompose(program, registry)

    decompose = _fx_passes.decompose_with_registry
    monkeypatch.setattr(_fx_passes, "decompose_with_registry", counted)
    found = written(Module(function))
    assert len(calls) == (0 if spared else 1)
    # What torch does by itself.
    monkeypatch.setattr(tracing, "_stays", lambda target: False)
    assert written(Module(function)) == found
    assert len(calls) == (1 if spared else 2)
