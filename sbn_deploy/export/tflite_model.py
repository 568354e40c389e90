"""A finished ONNX model as a TFLite file for Larq Compute Engine, checked against torch."""

from __future__ import annotations

import onnx
import torch

from sbn_converters.tflite.from_onnx import translate
from sbn_converters.tflite.model import Model
from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_deploy.engines.table import LCE
from sbn_deploy.lce.interpreter import is_installed
from sbn_deploy.lce.process import run_lce
from sbn_deploy.oracle import validate_lce
from sbn_deploy.oracle.lce_engines import as_tflite_input, logits_of
from sbn_deploy.oracle.report import within_tolerance
from sbn_deploy.tracing.trace import Traced
from sbn_runtime.errors import ModelError


def as_tflite(proto: onnx.ModelProto) -> bytes:
    """A model of `build` as a TFLite file for one sample, read back by the verifying reader.

    Raises UnsupportedLayerError if LCE has no operators for it.
    """
    data = write(translate(proto))
    read(data, "the translated model")
    return data


def check(data: bytes, members: list[torch.nn.Module], traced: Traced) -> str:
    """Runs the file on the example and compares its logits with torch's.

    Returns the name of the engine that ran it, or "" where larq-compute-engine is not
    installed. Raises ModelError if they differ; no file is written then.
    """
    if not is_installed():
        return ""
    name = "the translated model"
    model = read(data, name)
    (example,) = traced.recording.example
    arrays = run_lce(data, as_tflite_input(model, example.numpy()), name=name)
    names = [model.tensors[index].name for index in model.outputs]
    with torch.no_grad():
        expected = torch.stack([member(example) for member in members]).numpy()
    found = logits_of(dict(zip(names, arrays, strict=True)), name)
    if not within_tolerance(found, expected):
        _look_closely(model, members, traced, name)
    return LCE


def _look_closely(model: Model, members: list[torch.nn.Module], traced: Traced, name: str) -> None:
    """Float layers may decide a tie the other way. Raises ModelError if it is not that."""
    (example,) = traced.recording.example
    (result,) = validate_lce(
        model, members, example.numpy(), name=name, kernels=("optimized",), traced=traced
    )
    if not result.ok:
        raise ModelError(
            f"the translated network differs from torch's from {result.first_layer} on;"
            " no file was written"
        )
