"""Layers of stochastic binary networks."""

from sbn_deploy.nn.activation import Sign, StochasticSign
from sbn_deploy.nn.binary import (
    BinaryConv2d,
    BinaryLayer,
    BinaryLinear,
    ConvGeometry,
    FixedConv2d,
    FixedLinear,
)
from sbn_deploy.nn.noise import Noise

__all__ = [
    "BinaryConv2d",
    "BinaryLayer",
    "BinaryLinear",
    "ConvGeometry",
    "FixedConv2d",
    "FixedLinear",
    "Noise",
    "Sign",
    "StochasticSign",
]
