"""The binary network in torch, to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sbn_deploy.engines.torch import TorchEngine
from sbn_deploy.export.network import fixed
from sbn_deploy.materialize import Form
from sbn_deploy.networks import build


def torch_engine(
    arch: str, config: Mapping[str, Any], shapes: Sequence[Sequence[int]], *, threads: int
) -> TorchEngine:
    """The binary network of a reference with random weights, without noise.

    Raises ConfigError for an unknown architecture or settings.
    """
    torch.manual_seed(0)
    (network,) = fixed(build(arch, config), Form())
    return TorchEngine(network, [tuple(shape) for shape in shapes], threads=threads)
