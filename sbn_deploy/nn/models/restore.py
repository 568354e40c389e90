"""Networks from the headers and tensors of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sbn_deploy.nn.bounded import Bounded
from sbn_deploy.nn.header import Header
from sbn_deploy.nn.models.network import Network, create, create_twin
from sbn_runtime.errors import ArtifactError, ConfigError

SLACK = 1 << 24


def from_header(header: Header, path: str | Path) -> Network:
    """The untrained network that a file's header describes, in evaluation mode.

    Raises:
        ArtifactError: the header names no network that exists here.
    """
    make = create_twin if header.kind == "fp32" else create
    try:
        # Initial values are overwritten; leave the caller's generator alone.
        # The file holds every tensor; its header cannot make us allocate much more.
        with torch.random.fork_rng(devices=[]), Bounded(SLACK + 2 * Path(path).stat().st_size):
            return make(header.arch, **header.config).eval()
    except ConfigError as error:
        raise ArtifactError(f"{path} belongs to another architecture: {error}") from error


def load_state(module: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy tensors into a module whose parameters and buffers they must match exactly.

    Raises:
        ArtifactError: a tensor is missing, left over, or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ArtifactError(
                f"{path} does not fit its architecture: tensor {name!r} has shape "
                f"{found.get(name, 'none')}, expected {expected.get(name, 'none')}"
            )
    module.load_state_dict(dict(state))
