"""Networks that the user names in place of a file, exported to be timed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sbn_deploy.export.network import export_network, fixed
from sbn_deploy.materialize import Form
from sbn_deploy.networks import example, loading
from sbn_deploy.tracing.trace import trace
from sbn_deploy.untrained import export_untrained


@dataclass(frozen=True)
class Own:
    """What is known of such a network besides its exported file.

    Attributes:
        reference, config: what builds it again.
        shapes: of its inputs, batch first.
        plain: the same module with its signs as float operators, in standard ONNX.
    """

    reference: str
    config: Mapping[str, Any]
    shapes: Sequence[example.Shape]
    plain: Path


def export_own(
    reference: str, folder: Path, *, checkpoint: Path | None, shapes: Sequence[example.Shape]
) -> tuple[Path, Own]:
    """Exports the network that a reference names to a file in `folder`, packed and plain.

    Raises what `export_network` raises.
    """
    file = _free(folder, reference.rpartition(":")[2])
    export_network(reference, file, checkpoint=checkpoint, shapes=shapes)
    built = loading.load(reference, checkpoint)
    (module,) = fixed(built, Form())
    shapes = shapes or example.shapes_of(built)
    inputs = example.inputs(shapes)
    plain = file.with_suffix(".plain.onnx")
    ir.save(trace(module, inputs).model, plain)
    return file, Own(built.reference, built.config, shapes, plain)


def export_random(arch: str, folder: Path) -> Path:
    """Exports an architecture of ours with random weights. Raises what `export_untrained` does."""
    file = _free(folder, arch)
    export_untrained(arch, file)
    return file


def _free(folder: Path, name: str) -> Path:
    """An unused file name, after the network."""
    stem = re.sub(r"\W", "-", name)
    while (file := folder / f"{stem}.onnx").exists():
        stem += "-"
    return file
