"""Networks that the user names in place of a file, exported to be timed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sbn_deploy.export.trace import trace
from sbn_deploy.export_network import export_network, fixed
from sbn_deploy.networks import example, loading


@dataclass(frozen=True)
class Own:
    """What else there is of such a network than its exported file.

    Attributes:
        reference, config: what builds it again.
        plain: the same module with its signs as float operators, in standard ONNX.
    """

    reference: str
    config: Mapping[str, Any]
    plain: Path


def export_own(
    reference: str, folder: Path, *, checkpoint: Path | None, shapes: Sequence[example.Shape]
) -> tuple[Path, Own]:
    """Exports the network that a reference names to a file in `folder`, packed and plain.

    Raises what `export_network` raises.
    """
    name = re.sub(r"\W", "-", reference.rpartition(":")[2])
    while (file := folder / f"{name}.onnx").exists():
        name += "-"
    export_network(reference, file, checkpoint=checkpoint, shapes=shapes)
    built = loading.load(reference, checkpoint)
    (module,) = fixed(built, "threshold", 1, 0)
    inputs = example.inputs(shapes or example.shapes_of(built))
    plain = folder / f"{name}.plain.onnx"
    ir.save(trace(module, inputs).model, plain)
    return file, Own(built.reference, built.config, plain)
