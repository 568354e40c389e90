"""What tests that run TFLite files in LCE's interpreter share."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sbn_converters.tflite.from_onnx import translate
from sbn_converters.tflite.model import Model
from sbn_deploy.export.onnx_model import build
from sbn_deploy.lce.interpreter import KERNELS, is_installed
from sbn_deploy.oracle import validate_lce

needs_lce = pytest.mark.skipif(
    not is_installed(), reason="larq-compute-engine is not installed (extra tflite)"
)


def translated(network: nn.Module, x: torch.Tensor) -> tuple[onnx.ModelProto, Model]:
    """The network as ONNX and as TFLite."""
    proto = build([network.eval()], x).proto
    return proto, translate(proto)


def exact(network: nn.Module, x: torch.Tensor, *, may_tie: bool = False) -> Model:
    """The network as TFLite, once every kind of LCE's kernels has given torch's labels,
    logits and packed signs.

    may_tie: whether sums of floats may be zero but for rounding, which LCE rounds otherwise.
    """
    built = build([network.eval()], x)
    model = translate(built.proto)
    results = validate_lce(model, [network], x.numpy(), name="the model", traced=built.traced)
    assert [result.engine for result in results] == [f"lce {kind}" for kind in KERNELS]
    assert all(result.compared_bits for result in results)
    assert [result for result in results if not result.ok] == []
    assert may_tie or not any(result.tied_inputs for result in results)
    return model


def operators(model: Model) -> list[str]:
    """The operators' names in order."""
    return [operator.name for operator in model.operators]


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    """Standard normal numbers, one in ten of them an exact zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    x[rng.random(shape) < 0.1] = 0
    return torch.from_numpy(x)
