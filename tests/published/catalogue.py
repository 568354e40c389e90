"""All networks of this folder, each in its published size and in a tiny one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .adabin import adabin_resnet18
from .bayesbinn import VGGBinary
from .binarynet import BinaryConnectVGG, BinaryNetVGG
from .bireal import bireal_resnet18
from .bnext import BNext
from .cnv import CNV
from .dorefa import DoReFaNet
from .irnet import irnet_resnet18
from .keywords import KeywordNet
from .meliusnet import MeliusNet
from .points import PointNet
from .rbnn import ResNet20
from .reactnet import ReActNet, reactnet_resnet18
from .recu import recu_resnet18
from .sequences import Mixer, SequenceNet
from .superresolution import SuperResolution
from .trained import trained
from .xnor import NIN, AlexNet

# Blocks in the stages of tiny residual networks, whose blocks have one or two convolutions.
SINGLE = (1, 1)
DOUBLE = (0, 1)


@dataclass(frozen=True)
class Size:
    """How to build a network and the shape of its input, without the batch."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def example(self, count: int = 2, seed: int = 1) -> Tensor:
        """Inputs [count, ...], standard normal."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, *self.shape, generator=generator)

    def build(self) -> nn.Module:
        """The network, as if it were trained; the same each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return trained(self.make(), self.example(4))


@dataclass(frozen=True)
class Network:
    """A published network in full size, and a tiny one of the same kinds of layers.

    `binary` is how many layers the tiny one has with weights of two values. Those that
    cannot be packed are in `floats`, by name, each with a part of the reason.
    """

    full: Size
    tiny: Size
    binary: int
    floats: dict[str, str] = field(default_factory=dict)


ON_FLOATS = "its input is not made of signs"

NETWORKS = {
    "adabin-resnet18": Network(
        Size(adabin_resnet18, (3, 224, 224)),
        Size(lambda: adabin_resnet18(40, DOUBLE, 10), (3, 32, 32)),
        3,
    ),
    "bayesbinn-vgg": Network(
        Size(VGGBinary, (3, 32, 32)), Size(lambda: VGGBinary(16), (3, 16, 16)), 4
    ),
    "binaryconnect-vgg": Network(
        Size(BinaryConnectVGG, (3, 32, 32)),
        Size(lambda: BinaryConnectVGG(16), (3, 8, 8)),
        3,
        dict.fromkeys(("features.0", "features.4", "features.8"), ON_FLOATS),
    ),
    "binarynet-vgg": Network(
        Size(BinaryNetVGG, (3, 32, 32)),
        Size(lambda: BinaryNetVGG(16, 40, 4, (1,)), (3, 4, 4)),
        5,
        {"features.0": ON_FLOATS},
    ),
    "bireal-resnet18": Network(
        Size(bireal_resnet18, (3, 224, 224)),
        Size(lambda: bireal_resnet18(40, SINGLE, 10), (3, 32, 32)),
        2,
    ),
    "bnext": Network(
        Size(BNext, (3, 224, 224)), Size(lambda: BNext(24, [(2, 2)], 10), (3, 16, 16)), 3
    ),
    "cnv": Network(
        Size(CNV, (3, 32, 32)),
        Size(lambda: CNV(16, 32, [(1, False), (1, True), (2, False)]), (3, 10, 10)),
        6,
        {"conv_features.1": ON_FLOATS},
    ),
    "dorefa": Network(
        Size(DoReFaNet, (3, 40, 40)), Size(lambda: DoReFaNet(16, 16), (3, 16, 16)), 4
    ),
    "irnet-resnet18": Network(
        Size(irnet_resnet18, (3, 224, 224)),
        Size(lambda: irnet_resnet18(40, DOUBLE, 10), (3, 32, 32)),
        2,
    ),
    "keywords": Network(
        Size(KeywordNet, (40, 101)),
        Size(lambda: KeywordNet(24, 10, [(2, 2, 1), (2, 1, 2)]), (10, 21)),
        4,
    ),
    "meliusnet": Network(
        Size(MeliusNet, (3, 224, 224)),
        Size(lambda: MeliusNet(48, 24, SINGLE, 10), (3, 16, 16)),
        4,
    ),
    "mixer": Network(
        Size(Mixer, (3, 224, 224)), Size(lambda: Mixer(32, 16, 4, 1, 10), (3, 16, 16)), 4
    ),
    "points": Network(Size(PointNet, (3, 1024)), Size(lambda: PointNet(8, 10), (3, 20)), 4),
    "rbnn-resnet20": Network(
        Size(ResNet20, (3, 32, 32)), Size(lambda: ResNet20(24, DOUBLE), (3, 8, 8)), 2
    ),
    "reactnet": Network(
        Size(ReActNet, (3, 224, 224)),
        Size(lambda: ReActNet(20, [(1, 2), (2, 1)], 10), (3, 16, 16)),
        5,
    ),
    "reactnet-resnet18": Network(
        Size(reactnet_resnet18, (3, 224, 224)),
        Size(lambda: reactnet_resnet18(40, SINGLE, 10), (3, 32, 32)),
        2,
    ),
    "recu-resnet18": Network(
        Size(recu_resnet18, (3, 32, 32)), Size(lambda: recu_resnet18(40, DOUBLE), (3, 8, 8)), 3
    ),
    "sequences": Network(
        Size(SequenceNet, (100, 40)), Size(lambda: SequenceNet(32, 10, 2), (9, 10)), 4
    ),
    "superresolution": Network(
        Size(SuperResolution, (3, 128, 128)), Size(lambda: SuperResolution(24, 2), (3, 8, 12)), 4
    ),
    "xnor-alexnet": Network(
        Size(AlexNet, (3, 224, 224)), Size(lambda: AlexNet(24, 64, 64, 10), (3, 64, 64)), 6
    ),
    "xnor-nin": Network(Size(NIN, (3, 32, 32)), Size(lambda: NIN(24), (3, 8, 8)), 7),
}
