"""Trained networks on disk, with what is needed to use them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sbn_deploy
from sbn_deploy.nn import models, storage
from sbn_deploy.nn.models import Network

FORMAT = "sbn-checkpoint"
VERSION = 1


def save(path: str | Path, model: Network, meta: Mapping[str, Any]) -> None:
    """Write parameters and buffers (latents, not sampled weights) and the header.

    `meta` is JSON-able: data, classes, preprocess, metrics, seed. The same
    network and meta give the same bytes.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    header = {
        **meta,
        "format": FORMAT,
        "version": VERSION,
        "sbn_deploy": sbn_deploy.__version__,
        "arch": model.arch,
        "config": model.config,
        "kind": model.kind,
    }
    storage.write(Path(path), model.state_dict(), header)


def load(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """The network, in evaluation mode, and the whole header.

    Raises:
        ArtifactError: missing, damaged or foreign file, or another architecture.
    """
    tensors, header = storage.read(Path(path), format=FORMAT, version=VERSION)
    model = models.from_header(header, path)
    models.load_state(model, tensors, path)
    return model, header
