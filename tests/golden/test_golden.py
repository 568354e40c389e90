"""Files that were exported once give the same answers in today's runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from sbn_converters import ops
from sbn_runtime import Session, available_isas, native

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.onnx"))
# What onnxruntime's own Softmax computes; all else is whole numbers, or floats whose
# rounding the operators define.
APPROXIMATE = {"probabilities": 1e-6}


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_answers_are_as_when_it_was_exported(file: Path, isa: str) -> None:
    kept = dict(np.load(file.with_suffix(".npz")))
    with native.forced_isa(isa):
        session = Session(file)
    answers = session.run(kept.pop("input"))
    assert answers.keys() == kept.keys()
    for name, wanted in kept.items():
        assert answers[name].dtype == wanted.dtype, name
        if name in APPROXIMATE:
            np.testing.assert_allclose(answers[name], wanted, 0, APPROXIMATE[name])
        else:
            np.testing.assert_array_equal(answers[name], wanted, err_msg=name)


def test_every_operator_is_in_a_file() -> None:
    nodes = [node for file in FILES for node in onnx.load(file).graph.node]
    assert {node.op_type for node in nodes if node.domain == ops.DOMAIN} == set(ops.BY_NAME)
