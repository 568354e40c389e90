"""Materialised networks on disk: the members of one ensemble in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

import sbn_deploy
from sbn_deploy.materialize.materialize import materialize
from sbn_deploy.nn import models, storage
from sbn_deploy.nn.models import Network
from sbn_runtime.errors import ArtifactError, ConfigError

FORMAT = "sbn-artifact"
VERSION = 1


def save(path: str | Path, members: Sequence[nn.Module], meta: Mapping[str, Any]) -> None:
    """Write the members of an ensemble (materialised copies of one network).

    `meta` is JSON-able and is kept in the header.

    Raises:
        ConfigError: nothing to save, a module that is no registered network,
            or a folder that cannot be written to.
    """
    networks = [member for member in members if isinstance(member, Network)]
    if not networks or len(networks) < len(members):
        raise ConfigError("an artifact holds one or more networks of a registered architecture")
    header = {
        **meta,
        "format": FORMAT,
        "version": VERSION,
        "sbn_deploy": sbn_deploy.__version__,
        "arch": networks[0].arch,
        "config": networks[0].config,
        "kind": networks[0].kind,
        "members": len(networks),
    }
    tensors = {
        f"{index}.{name}": tensor
        for index, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }
    storage.write(Path(path), tensors, header)


def load(path: str | Path) -> tuple[list[nn.Module], dict[str, Any]]:
    """The members, in evaluation mode, and the header.

    Raises:
        ArtifactError: missing, damaged or foreign file.
    """
    tensors, header = storage.read(Path(path), format=FORMAT, version=VERSION)
    members: list[nn.Module] = []
    for index in range(int(header.get("members", 0))):
        prefix = f"{index}."
        state = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        (member,) = materialize(models.from_header(header, path))
        models.load_state(member, state, path)
        members.append(member)
    if not members:
        raise ArtifactError(f"{path} holds no members")
    return members, header
