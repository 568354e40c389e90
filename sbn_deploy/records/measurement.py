"""What all measurements begin with, and the model that they are of."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sbn_deploy.records.machine import Machine
from sbn_deploy.records.schema import Record

FORMAT = "sbn-measurement"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Measurement(Record):
    """The head of every measurement."""

    format: str = FORMAT
    """Always "sbn-measurement"."""
    version: int = VERSION
    """Of this schema."""
    kind: str
    """Which measurement it is."""
    created: str
    """ISO 8601, with seconds and time zone."""
    command: str
    """The command line that made it."""
    machine: Machine
    """Where it was made."""


def head(machine: Machine) -> dict[str, Any]:
    """The arguments of a `Measurement` that is made now, by the command that is running."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["sbn", *sys.argv[1:]]),
        "machine": machine,
    }


@dataclass(frozen=True, kw_only=True)
class Model(Record):
    """What identifies a model file, and how it was made.

    Measurements of one model belong together by the digest of its file.
    """

    name: str
    """For people: the file's name without its suffix."""
    file: str
    sha256: str
    bytes: int
    arch: str | None
    """Architecture; null where the file does not name it, as in an imported one."""
    weights: str | None
    """"threshold" or "sample"; null for a network with real weights."""
    seed: int | None
    """Of sampled weights."""
    members: int
    """Networks in the file whose probabilities are averaged."""
    activations: str
    """"deterministic" or "stochastic"."""
    noise_seed: int | None
    """Of stochastic signs."""
    samples: int
    """Noise samples averaged for each member, 1 without noise."""
    checkpoint_sha256: str | None
    """Of the checkpoint that it was made of."""
    trained_on: str | None
    """Data set of the checkpoint."""


def describe_model(path: Path, metadata: Mapping[str, Any]) -> Model:
    """The facts of a model file with these metadata. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Model(
        name=path.stem,
        file=path.name,
        sha256=digest,
        bytes=path.stat().st_size,
        arch=metadata.get("arch"),
        weights=metadata.get("weights"),
        seed=metadata.get("seed") if metadata.get("weights") == "sample" else None,
        members=int(metadata.get("members", 1)),
        activations=metadata.get("activations", "deterministic"),
        noise_seed=metadata.get("noise_seed"),
        samples=int(metadata.get("samples", 1)),
        checkpoint_sha256=metadata.get("checkpoint_sha256"),
        trained_on=metadata.get("data"),
    )
