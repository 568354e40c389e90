"""Layers of stochastic binary networks."""

from sbn_deploy.nn.activation import DeterministicSign, Sign, SignActivation, StochasticSign
from sbn_deploy.nn.binarization import Binarized, Change, binarize
from sbn_deploy.nn.binary import BinaryLayer
from sbn_deploy.nn.conv import BinaryConv, BinaryConv1d, BinaryConv2d
from sbn_deploy.nn.eight_bits import EightBit, EightBitConv2d, EightBitLinear
from sbn_deploy.nn.fixed import ChannelScale, FixedConv, FixedLinear
from sbn_deploy.nn.geometry import ConvGeometry
from sbn_deploy.nn.input import InputConv2d, Int8Conv2d
from sbn_deploy.nn.linear import BinaryLinear
from sbn_deploy.nn.modes import set_eval_forward, set_train_forward, set_weight_generator
from sbn_deploy.nn.noise import Noise
from sbn_deploy.nn.surrogate import Surrogate

__all__ = [
    "Binarized",
    "BinaryConv",
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryLayer",
    "BinaryLinear",
    "Change",
    "ChannelScale",
    "ConvGeometry",
    "DeterministicSign",
    "EightBit",
    "EightBitConv2d",
    "EightBitLinear",
    "FixedConv",
    "FixedLinear",
    "InputConv2d",
    "Int8Conv2d",
    "Noise",
    "Sign",
    "SignActivation",
    "StochasticSign",
    "Surrogate",
    "binarize",
    "set_eval_forward",
    "set_train_forward",
    "set_weight_generator",
]
