"""A model file to be timed: ours, or one that onnxruntime runs as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sbn_deploy.measure.latency.engines import stock_engine
from sbn_deploy.measure.latency.timing import image_shape
from sbn_runtime import InputError, ModelError, Session
from sbn_runtime.executor import DOMAIN
from sbn_runtime.modelfile import imported_domains


@dataclass(frozen=True)
class Loaded:
    """What there is to know of a model before it is timed.

    Attributes:
        metadata: what `sbn export` noted; empty for a file from elsewhere.
        image: C, H, W, or K for a model that takes vectors.
        engine: what runs it.
    """

    path: Path
    metadata: Mapping[str, Any]
    image: Sequence[int]
    engine: Literal["sbn", "onnxruntime"]


def load(path: Path) -> Loaded:
    """Looks into a model file.

    Raises:
        ModelError: the file cannot be used.
        InputError: the model leaves more than the batch size open.
    """
    if DOMAIN in imported_domains(path):
        session = Session(path, threads=1)
        return Loaded(path, session.metadata, image_shape(session), "sbn")
    inputs = stock_engine("onnxruntime", path, threads=1).session.get_inputs()
    taken = {node.name: node for node in inputs}.get("input")
    if taken is None or len(inputs) > 1 or taken.type != "tensor(float)":
        raise ModelError(
            f"{path}: has no sbn operators, and to be timed as it is it needs one input named"
            " input, of float32"
        )
    image = tuple(size for size in taken.shape[1:] if isinstance(size, int))
    if len(image) != len(taken.shape) - 1:
        raise InputError(f"{path}: the sizes of its input are not fixed: {taken.shape}")
    return Loaded(path, {}, image, "onnxruntime")
