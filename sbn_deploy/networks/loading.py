"""A network and its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from sbn_deploy.nn import models, storage
from sbn_deploy.nn.header import FORMAT, Header
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
    header = header_of(checkpoint) if checkpoint is not None else None
    if header is not None and _last_part(header.arch) != _last_part(reference):
        header = None
    with torch.random.fork_rng(devices=[]), without_cuda():
        torch.manual_seed(seed)
        built = build(
            reference,
            header.config if header is not None else None,
            twin=header is not None and header.kind == "fp32",
        )
        if checkpoint is not None:
            load_into(built.module, checkpoint)
    return built


def from_header(header: Header, path: str | Path) -> nn.Module:
    """The network that the header of a checkpoint describes, in evaluation mode, untrained.

    Checkpoints are untrusted and must not make us run what they name: a
    reference is followed only to what an installed package offers, and to a class or
    function that is defined in a file below this folder, unchanged since training.
    Its user may name anything, see `load`.

    Raises:
        ArtifactError: the header names no network that exists here.
    """
    if names_code(header.arch):
        _check_file(header, path)
    elif header.arch in models.names() or not is_offered(header.arch):
        return models.from_header(header, path)
    with torch.random.fork_rng(devices=[]), without_cuda():
        return build(header.arch, header.config, twin=header.kind == "fp32", trusted=False).module


def _check_file(header: Header, path: str | Path) -> None:
    """Raises ArtifactError unless a reference is to the file that the network was trained from."""
    arch = header.arch
    advice = f"name it: sbn export FILE.py:NAME --checkpoint {path}"
    left, _, _ = arch.rpartition(":")
    file = Path(left)
    if not _is_of_this_folder(file):
        raise ArtifactError(
            f"{path} was trained from {arch}, which is not below the current folder; {advice}"
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != header.source_sha256:
        raise ArtifactError(
            f"{file} has changed since {path} was trained; if it still matches, {advice}"
        )


def _is_of_this_folder(file: Path) -> bool:
    ordinary = all(part[0] != "." and part != "site-packages" for part in file.parts)
    return file.suffix == ".py" and not file.is_absolute() and ordinary and file.is_file()


def header_of(checkpoint: Path) -> Header | None:
    """What a checkpoint of `sbn train` says of itself, None for any other file.

    Raises ArtifactError for a checkpoint with a broken header.
    """
    try:
        fields = storage.read_header(checkpoint)
    except ArtifactError:
        return None
    return Header.parse(fields, checkpoint) if fields.get("format") == FORMAT else None


def _last_part(reference: str) -> str:
    """A reference without the folders of its file, which may have moved since."""
    return Path(reference).name
