"""A network and its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from sbn_deploy.nn import models
from sbn_deploy.nn.storage import HEADER_KEY
from sbn_runtime.errors import ArtifactError

from .cuda import without_cuda
from .reference import Built, build, is_offered, names_code
from .weights import load_into


def load(reference: str, checkpoint: Path | None = None, *, seed: int = 0) -> Built:
    """Builds the network that a reference names, with the weights of a checkpoint if given.

    A checkpoint of `sbn train` that was trained from this reference also says with
    which settings it is built. The caller's random generator is left as it was.

    Args:
        reference: see `sbn_deploy.networks.reference`.
        checkpoint: see `sbn_deploy.networks.read_state`.
        seed: of the weights that no checkpoint gives.

    Raises:
        ConfigError: the reference names no network.
        ArtifactError: the checkpoint cannot be read, or is of another network.
    """
    header = header_of(checkpoint) if checkpoint is not None else {}
    same = _last_part(str(header.get("arch", ""))) == _last_part(reference)
    with torch.random.fork_rng(devices=[]), without_cuda():
        torch.manual_seed(seed)
        built = build(
            reference,
            header.get("config") if same else None,
            twin=same and header.get("kind") == "fp32",
        )
        if checkpoint is not None:
            load_into(built.module, checkpoint)
    return built


def from_header(header: Mapping[str, Any], path: str | Path) -> nn.Module:
    """The network that the header of a checkpoint describes, in evaluation mode, untrained.

    A checkpoint may come from anywhere, so it cannot make us run whatever it names: a
    reference is followed only to what an installed package offers, and to a class or
    function that is defined in a file below this folder, unchanged since training.
    Its user may name anything, see `load`.

    Raises:
        ArtifactError: the header names no network that exists here.
    """
    arch = str(header.get("arch", ""))
    if names_code(arch):
        _check_file(arch, header, path)
    elif arch in models.names() or not is_offered(arch):
        return models.from_header(header, path)
    try:
        with torch.random.fork_rng(devices=[]), without_cuda():
            twin = {"sbn": False, "fp32": True}[header["kind"]]
            return build(arch, header["config"], twin=twin, trusted=False).module
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} has a broken header: {error!r}") from error


def _check_file(arch: str, header: Mapping[str, Any], path: str | Path) -> None:
    """Raises ArtifactError unless a reference is to the file that the network was trained from."""
    advice = f"name it: sbn export FILE.py:NAME --checkpoint {path}"
    left, _, _ = arch.rpartition(":")
    file = Path(left)
    if not _is_of_this_folder(file):
        raise ArtifactError(
            f"{path} was trained from {arch}, which is not below the current folder; {advice}"
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != header.get("source_sha256"):
        raise ArtifactError(
            f"{file} has changed since {path} was trained; if it still fits, {advice}"
        )


def _is_of_this_folder(file: Path) -> bool:
    ordinary = all(part[0] != "." and part != "site-packages" for part in file.parts)
    return file.suffix == ".py" and not file.is_absolute() and ordinary and file.is_file()


def header_of(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint of `sbn train` says of itself; nothing for any other file."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


def _last_part(reference: str) -> str:
    """A reference without the folders of its file, which may have moved since."""
    return Path(reference).name
