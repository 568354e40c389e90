"""safetensors files with one JSON header, written atomically.

The header is the JSON text under the key "sbn" of the safetensors metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sbn_runtime.errors import ArtifactError
from sbn_runtime.files import write_atomically

HEADER_KEY = "sbn"

# Stands beside the tensors of a network, whose names have a dot or are parameters.
CALIBRATION = "calibration images"


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left behind."""
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
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(text) if text else None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged or not a safetensors file: {error}") from error
    if not isinstance(header, dict) or header.get("format") != format:
        raise ArtifactError(
            f"{path} is not a file of the format {format}; `sbn train` writes checkpoints"
        )
    if header.get("version") != version:
        raise ArtifactError(
            f"{path} has format version {header.get('version')}; this sbn-deploy reads {version}"
        )
    return tensors, header
