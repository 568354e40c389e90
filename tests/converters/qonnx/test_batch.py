"""Any number of images, where the file has a fixed one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sbn_converters.qonnx.batch import with_fixed_batch, with_free_batch
from sbn_converters.qonnx.read import read
from sbn_converters.qonnx.to_onnx import to_onnx

from .models import model, node, run

ENDS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "reshape": ([node("Reshape", ["c", "shape"], "y")], {"shape": np.array([1, 48], np.int64)}),
    "reshape with -1": (
        [node("Reshape", ["c", "shape"], "y")],
        {"shape": np.array([1, -1], np.int64)},
    ),
    "flatten": ([node("Flatten", ["c"], "y", axis=1)], {}),
    "mean": ([node("GlobalAveragePool", ["c"], "p"), node("Flatten", ["p"], "y")], {}),
    "channels last": (
        [
            node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]),
            node("Reshape", ["t", "shape"], "y"),
        ],
        {"shape": np.array([1, 16, 3], np.int64)},
    ),
}


def network(batch: int | str, end: str = "flatten") -> ir.Model:
    nodes, constants = ENDS[end]
    weights = np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32)
    conv = node("Conv", ["x", "w"], "c")
    proto = model([conv, *nodes], (batch, 2, 4, 4), {"w": weights, **constants})
    return to_onnx(read(proto.SerializeToString(), "a.onnx")).model


@pytest.mark.parametrize("end", ENDS)
def test_each_image_is_computed_as_alone(end: str) -> None:
    fixed = network(1, end)
    free = with_free_batch(fixed)
    assert free is not None
    x = np.random.default_rng(1).normal(size=(3, 2, 4, 4)).astype(np.float32)
    found = run(ir.to_proto(free), x)
    alone = np.concatenate([run(ir.to_proto(fixed), x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
    for value in (*free.graph.inputs, *free.graph.outputs):
        assert value.shape is not None
        assert str(value.shape[0]) == "N"
    (kept,) = fixed.graph.inputs
    assert kept.shape is not None
    assert kept.shape[0] == 1


@pytest.mark.parametrize("batch", [4, "batch"])
def test_other_batches_become_free_too(batch: int | str) -> None:
    free = with_free_batch(network(batch))
    assert free is not None
    assert run(ir.to_proto(free), np.zeros((5, 2, 4, 4), np.float32)).shape == (5, 48)


def test_a_free_batch_can_be_fixed() -> None:
    for given, fixed in (("batch", 1), (4, 4)):
        (value,) = with_fixed_batch(network(given)).graph.inputs
        assert value.shape is not None
        assert value.shape[0] == fixed


def test_shapes_that_are_against_it() -> None:
    """A class token that is put before one image's own tokens."""
    nodes = [node("Concat", ["token", "x"], "y", axis=1)]
    proto = model(nodes, (1, 3, 4), {"token": np.zeros((1, 1, 4), np.float32)})
    assert with_free_batch(to_onnx(read(proto.SerializeToString(), "a")).model) is None
