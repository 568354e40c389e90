"""A network in torch, as a rival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sbn_deploy.export_network import fixed
from sbn_deploy.networks import build


@dataclass(frozen=True)
class TorchEngine:
    """A network in evaluation mode, run eagerly on images with channels last."""

    name: str
    threads: int
    network: nn.Module

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            logits: NDArray[Any] = self.network(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
        return logits


def torch_engine(name: str, network: nn.Module, *, threads: int) -> TorchEngine:
    """The network in torch, which is set to use `threads` threads from now on."""
    torch.set_num_threads(threads)
    return TorchEngine(name, threads, network.eval().to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def binary_network(arch: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of a reference with random weights, deterministic.

    Raises ConfigError for an unknown architecture or settings.
    """
    torch.manual_seed(0)
    (network,) = fixed(build(arch, config), "threshold", 1, 0)
    return network
