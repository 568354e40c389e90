"""A measurement in a file: what the measuring verbs write and `sbn report` reads.

A measurement is JSON: what `head` returns, what `describe_model` says of the models, and the
figures. Measurements of one model belong together by the SHA-256 of its file.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sbn_deploy.measure.machine import describe
from sbn_runtime.errors import InputError
from sbn_runtime.files import write_atomically

FORMAT = "sbn-measurement"
VERSION = 1
Kind = Literal["benchmark", "evaluation", "profile"]


@dataclass(frozen=True)
class ModelFacts:
    """What identifies a model file, and how it was made.

    Attributes:
        name: for people, the file's name without its suffix.
        sha256, bytes: of the file.
        arch: architecture; None where the file does not name it, as an imported one.
        weights: "threshold" or "sample"; None for a network with real weights.
        seed: of the draw of sampled weights, and noise_seed of drawn signs; None where nothing
            is drawn.
        members: networks in the file whose probabilities are averaged.
        activations: "deterministic" or "stochastic".
        samples: noise samples averaged for each member, 1 without noise.
        checkpoint_sha256: of the checkpoint it was made of, if any.
        trained_on: data set of the checkpoint, if any.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    arch: str | None
    weights: str | None
    seed: int | None
    members: int
    activations: str
    noise_seed: int | None
    samples: int
    checkpoint_sha256: str | None
    trained_on: str | None


def describe_model(path: Path, metadata: Mapping[str, Any]) -> ModelFacts:
    """The facts of a model file, whose metadata are those of its `Session`.

    Raises OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelFacts(
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


def head(kind: Kind) -> dict[str, Any]:
    """The first entries of a measurement: its kind, when, by which command, on what machine."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["sbn", *sys.argv[1:]]),
        "machine": describe(),
    }


def save(path: Path, measurement: Mapping[str, Any]) -> None:
    """Writes a measurement. Raises OutputError."""
    write_atomically(path, (json.dumps(measurement, indent=1) + "\n").encode())


def load(path: Path) -> dict[str, Any]:
    """Reads a measurement.

    Raises:
        InputError: no such file, no measurement, or one of another version.
    """
    try:
        measurement = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(measurement, dict) or measurement.get("format") != FORMAT:
        raise InputError(
            f"{path} is no measurement; give files that sbn benchmark, profile or evaluate wrote"
            " with -o"
        )
    if measurement.get("version") != VERSION:
        raise InputError(
            f"{path} is a measurement of version {measurement.get('version')}, this program reads"
            f" version {VERSION}: measure again, or use the version that wrote it"
        )
    return measurement
