"""safetensors files with one JSON header, written atomically.

The header is the JSON text under the key "sbn" of the safetensors metadata.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from sbn_deploy.reading.parsing import parsing
from sbn_deploy.reading.text import parse_json
from sbn_runtime.errors import ArtifactError
from sbn_runtime.files import write_atomically

HEADER_KEY = "sbn"

# They stand beside the tensors of a network, whose names have a dot or are parameters.
CALIBRATION = "calibration images"
DIGESTS = "digests of training images"


def remove_leftovers(folder: Path) -> None:
    """Delete leftovers of killed writers."""
    for path in folder.glob(".*.safetensors.*"):
        path.unlink(missing_ok=True)


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able header.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(whole, {HEADER_KEY: json.dumps(header)}))


def read(path: Path, *, format: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header of a file of the given format.

    Raises:
        ArtifactError: missing or damaged file, another format, or a newer version.
    """
    header = read_header(path)
    if header.get("format") != format:
        raise ArtifactError(
            f"{path} is not a file of the format {format}; `sbn train` writes checkpoints"
        )
    if header.get("version") != version:
        raise ArtifactError(
            f"{path} has format version {reprlib.repr(header.get('version'))}; this sbn-deploy"
            f" reads {version}"
        )
    return read_tensors(path), header


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file; empty where it is not one of ours. Raises ArtifactError."""
    with _parsing(path), safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(HEADER_KEY, "{}")
    header = parse_json(text, f"the header of {path}", ArtifactError)
    return header if isinstance(header, dict) else {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of any safetensors file. Raises ArtifactError."""
    with _parsing(path):
        # Not mapped into memory: Windows does not let a mapped file be replaced.
        return load(path.read_bytes())


def _parsing(path: Path) -> AbstractContextManager[None]:
    return parsing(
        ArtifactError, path, "is damaged or not a safetensors file", "use an undamaged copy"
    )
