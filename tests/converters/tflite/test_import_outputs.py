"""What the outputs of imported models are called."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from sbn_converters.tflite.model import Model
from sbn_converters.tflite.read import read
from sbn_converters.tflite.to_onnx import to_onnx
from sbn_converters.tflite.write import write

from .imported import fill_in
from .raw import raw, wordy
from .tflite_models import Builder

SHAPE = (1, 2, 3, 4)


def heads(tensors: list[str], names: list[str] | None = None) -> Model:
    """A model with an output for each tensor, number i the input plus i."""
    b = Builder()
    x = b.input(SHAPE)
    outputs = []
    for number, name in enumerate(tensors):
        y = b.operator("ADD", [x, b.constant(np.array([number], np.float32))], SHAPE)
        b.model.tensors[y].name = name
        outputs.append(y)
    b.model.output_names = names or []
    model = b.finish(*outputs)
    fill_in(model)
    return model


def names_of(model: Model) -> list[str]:
    """The outputs' names after the file was written and read, each output checked."""
    standard = to_onnx(read(write(model)))
    proto = ir.serde.serialize_model(standard)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.ones(SHAPE, np.float32)
    for number, found in enumerate(session.run(None, {"input": x})):
        np.testing.assert_array_equal(found, x + number)
    return [value.name for value in session.get_outputs()]


@pytest.mark.parametrize(
    ("tensors", "names", "expected"),
    [
        # As LCE's converter writes them: only the signature has the names of Keras.
        (
            ["StatefulPartitionedCall:0", "StatefulPartitionedCall:1"],
            ["boxes", "scores"],
            ["boxes", "scores"],
        ),
        (["model/head/add;other", "b:0"], None, ["add", "b"]),
        (["Call:0", "Call:1", "Call:2"], None, ["Call", "Call_2", "Call_3"]),
        (["a", "a", "a_2"], None, ["a", "a_3", "a_2"]),
        (["x/a", "y/a"], ["left/a", "right/a"], ["left/a", "right/a"]),
        # Names that the graph has for itself.
        (["p", "q"], ["input", "logits"], ["input_2", "logits"]),
        (["p", "q"], ["ADD_0", "ADD_1.out"], ["ADD_0", "ADD_1.out"]),
        (["p", "q"], ["ADD_0.operand", "input_first"], ["ADD_0.operand", "input_first"]),
        (["", ""], None, ["output_0", "output_1"]),
        (["p", "q"], ["", "b"], ["p", "b"]),
        # What would move the cursor of a terminal, or break a line.
        (["p"], ["a\nb\x1b[31m"], ["a\ufffdb\ufffd[31m"]),
        (["p", "q"], ["größe", "面积"], ["größe", "面积"]),
    ],
)
def test_outputs_keep_their_names(
    tensors: list[str], names: list[str] | None, expected: list[str]
) -> None:
    assert names_of(heads(tensors, names)) == expected


def test_one_tensor_may_be_two_outputs() -> None:
    model = heads(["p"])
    model.outputs *= 2
    model.output_names = ["first", "second"]
    standard = to_onnx(read(write(model)))
    assert [value.name for value in standard.graph.outputs] == ["first", "second"]


def test_a_signature_of_other_tensors_is_no_matter() -> None:
    fields = wordy()
    (signature,) = fields["signature_defs"]
    assert read(raw(fields)).output_names == ["scores"]
    signature["outputs"] = [{"name": "other", "tensor_index": 2**32 - 1}]
    assert read(raw(fields)).output_names == []
    fields["signature_defs"] = [
        signature,
        {**signature, "outputs": wordy()["signature_defs"][0]["outputs"]},
    ]
    assert read(raw(fields)).output_names == ["scores"]
