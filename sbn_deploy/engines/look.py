"""What is in a file, before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbn_deploy.engines.table import LCE, ONNXRUNTIME
from sbn_runtime import ModelError, Session, TensorInfo
from sbn_runtime.engines import find
from sbn_runtime.modelfile import DOMAIN, imported_domains


@dataclass(frozen=True)
class Loaded:
    """A model file.

    Attributes:
        metadata: what `sbn export` noted; empty for a file from elsewhere.
        inputs: what it takes.
        engine: what runs it.
        exported: whether it has our operators.
    """

    path: Path
    metadata: Mapping[str, Any]
    inputs: Sequence[TensorInfo]
    engine: str
    exported: bool = False


def load(path: Path) -> Loaded:
    """Looks into an ONNX or TFLite file.

    Raises ModelError if it cannot be used, and MissingDependencyError if what runs it is missing.
    """
    if path.suffix == ".tflite":
        return Loaded(path, {}, _tflite_inputs(path), LCE)
    if DOMAIN in imported_domains(path):
        session = Session(path, threads=1)
        return Loaded(path, session.metadata, session.inputs, session.engine, exported=True)
    find(ONNXRUNTIME)
    from sbn_deploy.engines.onnx import stock_engine

    return Loaded(path, {}, stock_engine(path, threads=1).inputs, ONNXRUNTIME)


def _tflite_inputs(path: Path) -> Sequence[TensorInfo]:
    """Read here: LCE's interpreter does not check a file, and a damaged one can end the process."""
    from sbn_converters.tflite.read import read
    from sbn_deploy.lce.interpreter import check_installed

    check_installed()
    try:
        model = read(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    tensors = [model.tensors[index] for index in model.inputs]
    return [TensorInfo(each.name, each.dtype.name, tuple(each.shape)) for each in tensors]
