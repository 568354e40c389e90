"""Which modules and functions do what, for following values through a network."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from sbn_deploy.nn.binary import BinaryLayer

WEIGHTED = (_ConvNd, nn.Linear, BinaryLayer)
NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)
DROPOUTS = (_DropoutNd,)
# The sign of what they answer is that of what they get, or lost where they answer 0.
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Mish,
    nn.Tanh,
    nn.Hardtanh,
)
MAX_POOLS = (_MaxPoolNd, _AdaptiveMaxPoolNd)
POOLS = (*MAX_POOLS, _AvgPoolNd, _AdaptiveAvgPoolNd)
GATES = (nn.Sigmoid, nn.Hardsigmoid)
MOVES = (nn.Flatten, nn.Unflatten, nn.Identity)

Function = Callable[..., Any]

WEIGHTED_FUNCTIONS: frozenset[Function] = frozenset({F.conv1d, F.conv2d, F.linear})
ACTIVATION_FUNCTIONS: frozenset[Function] = frozenset(
    {
        F.relu,
        F.relu_,
        F.relu6,
        F.leaky_relu,
        F.elu,
        F.gelu,
        F.silu,
        F.hardswish,
        F.mish,
        F.hardtanh,
        torch.relu,
        torch.relu_,
        torch.tanh,
    }
)
MAX_POOL_FUNCTIONS: frozenset[Function] = frozenset(
    {F.max_pool1d, F.max_pool2d, F.adaptive_max_pool1d, F.adaptive_max_pool2d}
)
POOL_FUNCTIONS: frozenset[Function] = MAX_POOL_FUNCTIONS | {
    F.avg_pool1d,
    F.avg_pool2d,
    F.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d,
}
MOVE_FUNCTIONS: frozenset[Function] = frozenset({torch.flatten, torch.squeeze, torch.reshape})
MEAN_FUNCTIONS: frozenset[Function] = frozenset(
    {F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, torch.mean}
)
GATE_FUNCTIONS: frozenset[Function] = frozenset({F.sigmoid, F.hardsigmoid, torch.sigmoid})
MUL_FUNCTIONS: frozenset[Function] = frozenset({operator.mul, operator.imul, torch.mul})
ADD_FUNCTIONS: frozenset[Function] = frozenset({operator.add, operator.iadd, torch.add})
ACTIVATION_METHODS = frozenset({"relu", "relu_", "tanh"})
MOVE_METHODS = frozenset({"flatten", "view", "reshape", "squeeze", "contiguous"})
ADD_METHODS = frozenset({"add", "add_"})


class Kinds:
    """Answers what a node of a traced network does."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that the node calls, if it calls one."""
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _is(
        self,
        node: fx.Node,
        modules: tuple[type[nn.Module], ...],
        functions: frozenset[Function] = frozenset(),
        methods: frozenset[str] = frozenset(),
    ) -> bool:
        match node.op:
            case "call_module":
                return isinstance(self.module(node), modules)
            case "call_function":
                return node.target in functions
            case "call_method":
                return node.target in methods
            case _:
                return False

    weighted = partialmethod(_is, modules=WEIGHTED, functions=WEIGHTED_FUNCTIONS)
    norm = partialmethod(_is, modules=NORMS)
    batch_norm = partialmethod(_is, modules=(_BatchNorm,))
    dropout = partialmethod(_is, modules=DROPOUTS)
    activation = partialmethod(
        _is, modules=ACTIVATIONS, functions=ACTIVATION_FUNCTIONS, methods=ACTIVATION_METHODS
    )
    pool = partialmethod(_is, modules=POOLS, functions=POOL_FUNCTIONS)
    max_pool = partialmethod(_is, modules=MAX_POOLS, functions=MAX_POOL_FUNCTIONS)
    global_mean = partialmethod(
        _is, modules=(_AdaptiveAvgPoolNd,), functions=MEAN_FUNCTIONS, methods=frozenset({"mean"})
    )
    gate = partialmethod(
        _is, modules=GATES, functions=GATE_FUNCTIONS, methods=frozenset({"sigmoid"})
    )
    multiplication = partialmethod(
        _is, modules=(), functions=MUL_FUNCTIONS, methods=frozenset({"mul", "mul_"})
    )
    move = partialmethod(_is, modules=MOVES, functions=MOVE_FUNCTIONS, methods=MOVE_METHODS)
    size = partialmethod(
        _is, modules=(), functions=frozenset({getattr}), methods=frozenset({"size"})
    )
    add = partialmethod(_is, modules=(), functions=ADD_FUNCTIONS, methods=ADD_METHODS)
