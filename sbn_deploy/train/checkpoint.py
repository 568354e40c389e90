"""Trained networks on disk, with what is needed to use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_deploy.networks import Built, loading
from sbn_deploy.nn import BinaryLayer, models, storage
from sbn_deploy.nn.header import FORMAT, VERSION, Header
from sbn_deploy.nn.models import Network
from sbn_runtime import __version__
from sbn_runtime.errors import ArtifactError

__all__ = ["FORMAT", "VERSION", "Header", "load", "load_all", "round_latents", "save"]

KEPT = torch.float16
"""Of latents: half the size, and their probabilities are kept to better than a thousandth."""


def save(
    path: str | Path,
    model: Network | Built,
    meta: Mapping[str, Any],
    calibration: NDArray[np.uint8] | None = None,
    digests: NDArray[np.uint64] | None = None,
) -> None:
    """Write parameters and buffers (latents, not sampled weights) and the header.

    Latents are written as float16, see `round_latents`.

    `meta` is JSON-able: data, task, classes, preprocess, metrics, seed; see `Header`. `calibration`
    are training images, uint8 [N, H, W, C], from which batch-norm statistics are
    estimated again whenever the checkpoint is materialised. `digests` are those of all training
    images, see `sbn_deploy.data.digests`. The same network, meta and images give the same bytes.
    A network that was built from a reference is found again by it, see
    `sbn_deploy.networks.loading.from_header`.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    if isinstance(model, Network):
        model = Built(model, model.arch, model.kind, model.config)
    header = {
        **meta,
        "format": FORMAT,
        "version": VERSION,
        "sbn_deploy": __version__,
        "arch": model.reference,
        "config": model.config,
        "kind": model.kind,
        **({"source_sha256": model.sha256} if model.sha256 else {}),
    }
    tensors: dict[str, Tensor] = dict(model.module.state_dict())
    for name in _latents(model.module):
        tensors[name] = _rounded(tensors[name])
    if calibration is not None:
        tensors[storage.CALIBRATION] = torch.from_numpy(calibration)
    if digests is not None:
        # Not every version of torch has unsigned numbers of 64 bits.
        tensors[storage.DIGESTS] = torch.from_numpy(digests.view(np.int64))
    storage.write(Path(path), tensors, header)


def round_latents(model: nn.Module) -> None:
    """Gives latents the numbers that a checkpoint keeps of them, so that both are one network."""
    with torch.no_grad():
        for name in _latents(model):
            latent = model.get_parameter(name)
            latent.copy_(_rounded(latent))


def _latents(model: nn.Module) -> list[str]:
    return [f"{name}.latent" for name, m in model.named_modules() if isinstance(m, BinaryLayer)]


def _rounded(latent: Tensor) -> Tensor:
    """As float16, finite."""
    largest = torch.finfo(KEPT).max
    return latent.detach().clamp(-largest, largest).to(KEPT)


def load(path: str | Path) -> tuple[nn.Module, Header]:
    """The network, in evaluation mode, and the whole header.

    Raises:
        ArtifactError: a file that is missing, damaged or not a checkpoint, or another architecture.
    """
    model, header, _ = load_all(path)
    return model, header


@dataclass(frozen=True)
class Kept:
    """What a checkpoint keeps of the training images.

    Attributes:
        calibration: some of them, uint8 [N, H, W, C], for batch-norm statistics.
        digests: sorted, uint64, of all of them; None in checkpoints of older versions.
    """

    calibration: NDArray[np.uint8] | None
    digests: NDArray[np.uint64] | None


def load_all(path: str | Path) -> tuple[nn.Module, Header, Kept]:
    """The network, in evaluation mode, the whole header, and what is kept of training images.

    Raises:
        ArtifactError: a file that is missing, damaged or not a checkpoint, or another architecture.
    """
    tensors, fields = storage.read(Path(path), format=FORMAT, version=VERSION)
    header = Header.parse(fields, path)
    images, found = (tensors.pop(name, None) for name in (storage.CALIBRATION, storage.DIGESTS))
    if found is not None and (found.dtype != torch.int64 or found.ndim != 1 or not len(found)):
        raise ArtifactError(
            f"{path}: its digests of training images are damaged; use an undamaged copy"
        )
    model = loading.from_header(header, path)
    models.load_state(model, tensors, path)
    kept = Kept(
        None if images is None else images.numpy(),
        None if found is None else found.numpy().view(np.uint64),
    )
    return model, header, kept
