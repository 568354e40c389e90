"""Tells networks with our layers from others."""

from __future__ import annotations

from torch import nn

from sbn_deploy.nn.activation import SignActivation
from sbn_deploy.nn.binary import BinaryLayer
from sbn_deploy.nn.eight_bits import EightBit
from sbn_deploy.nn.input import Int8Conv2d


def has_our_layers(module: nn.Module) -> bool:
    """Whether it holds layers that are materialised: binary or 8-bit weights, or signs of ours."""
    ours = BinaryLayer | SignActivation | Int8Conv2d | EightBit
    return any(isinstance(m, ours) for m in module.modules())
