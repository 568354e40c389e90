"""What is in a file, before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sbn_deploy.engines.onnx import stock_engine
from sbn_runtime import Session, TensorInfo
from sbn_runtime.executor import DOMAIN
from sbn_runtime.modelfile import imported_domains


@dataclass(frozen=True)
class Loaded:
    """A model file.

    Attributes:
        metadata: what `sbn export` noted; empty for a file from elsewhere.
        inputs: what it takes.
        engine: what runs it.
    """

    path: Path
    metadata: Mapping[str, Any]
    inputs: Sequence[TensorInfo]
    engine: Literal["sbn", "onnxruntime"]


def load(path: Path) -> Loaded:
    """Looks into an ONNX file. Raises ModelError if it cannot be used."""
    if DOMAIN in imported_domains(path):
        session = Session(path, threads=1)
        return Loaded(path, session.metadata, session.inputs, "sbn")
    return Loaded(path, {}, stock_engine(path, threads=1).inputs, "onnxruntime")
