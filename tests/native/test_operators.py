"""Single operators in the native runtime, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from sbn_converters import ops

from ..built import ROOT, RUNTIME
from ..runtime.one_node import Array, model, session
from ..runtime.valid_nodes import Node, nodes
from .library import Model, NativeError, library, path_of
from .onnx_cases import EXACT, NEAR, X, floats, integers, one


def test_every_operator_of_onnx_is_tried() -> None:
    """And in the list of docs/c-api.md."""
    listed = set()
    for file in (RUNTIME / "src/native").glob("*_ops.cc"):
        lines = file.read_text(encoding="utf-8").splitlines()
        listed |= {line.split('"')[1] for line in lines if line.startswith('    {"')}
    assert listed == {proto.graph.node[0].op_type for proto in (EXACT | NEAR).values()}
    page = (ROOT / "docs/c-api.md").read_text(encoding="utf-8")
    assert {name for name in listed if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("name", EXACT | NEAR)
def test_operators_of_onnx(name: str) -> None:
    proto = (EXACT | NEAR)[name]
    native = Model(proto.SerializeToString())
    reference = session(proto, library().sbn_isa().decode())
    for batch in (2, 1, 7):
        rng = np.random.default_rng(batch)
        feeds: dict[str, Array] = {}
        for value in proto.graph.input:
            shape = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            if dtype in (np.uint8, np.bool_):
                feeds[value.name] = rng.integers(0, 2 if dtype == np.bool_ else 256, shape)
            else:
                feeds[value.name] = 3 * rng.standard_normal(shape)
            feeds[value.name] = feeds[value.name].astype(dtype)
        if name.endswith("halves"):
            feeds["x"] = np.round(feeds["x"] * 2) / 2
        if proto.graph.node[0].op_type in ("Log", "Reciprocal", "Sqrt") or name == "Pow":
            feeds["x"] = np.abs(feeds["x"]) + np.float32(0.1)
        (wanted,) = reference.run(None, feeds)
        answer = native.run(feeds)["y"]
        assert answer.shape == wanted.shape
        if name in EXACT:
            np.testing.assert_array_equal(answer, wanted)
        else:
            np.testing.assert_allclose(answer, wanted, 0, 1e-5 * np.abs(wanted).max())


@given(nodes(sorted(ops.BY_NAME)), st.booleans())
def test_operators_of_ours(node: Node, constant: bool) -> None:
    """With weights that are packed at loading, and with weights that are inputs."""
    packed = tuple(name for name in node.inputs if name != "X")
    if node.name == "StochasticSign":
        packed = ("table",)
    shapes: dict[str, list[int | str | None]] = {k: list(v.shape) for k, v in node.inputs.items()}
    proto = model(
        node.name,
        node.inputs,
        node.attributes,
        constants=packed if constant or node.name == "StochasticSign" else (),
        shapes=shapes,
        functions=False,
    )
    names = [value.name for value in proto.graph.input]
    feeds = {name: node.inputs[name] for name in names}
    wanted = session(proto, library().sbn_isa().decode()).run(None, feeds)
    numbers = {"seed", "samples", "first_sample"}
    answers = Model(proto.SerializeToString()).run(
        {k: int(v) if k in numbers else v for k, v in feeds.items()}
    )
    for answer, value in zip(answers.values(), wanted, strict=True):
        assert answer.dtype == value.dtype
        np.testing.assert_array_equal(answer, value)


def test_damaged_files_of_onnx_operators(tmp_path: Path) -> None:
    """The program that `make native-test` runs on the golden files, on these."""
    for index, proto in enumerate((EXACT | NEAR).values()):
        (tmp_path / f"{index}.onnx").write_bytes(proto.SerializeToString())
    command = [path_of("tests/native_test"), tmp_path, "5000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("\n0 failures\n"), done.stdout + done.stderr


def changed(proto: onnx.ModelProto, **fields: Any) -> onnx.ModelProto:
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    for name, value in fields.items():
        setattr(copy.graph.node[0], name, value)
    return copy


def float16() -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(EXACT["Gemm"].SerializeToString())
    half = numpy_helper.from_array(np.ones((300, 70), np.float16), "w")
    proto.graph.initializer[0].CopyFrom(half)
    return proto


def beside_the_file() -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(EXACT["Gemm"].SerializeToString())
    weights = proto.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    return proto


def older_opset() -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(EXACT["Gemm"].SerializeToString())
    proto.opset_import[0].version = 13
    return proto


def open_width() -> onnx.ModelProto:
    proto = onnx.ModelProto.FromString(EXACT["Tile"].SerializeToString())
    proto.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "W"
    return proto


REFUSED = {
    "Det node 'the_node': this operator of ONNX is not supported": changed(
        EXACT["Transpose"], op_type="Det"
    ),
    "Det node 'y': this operator of ONNX is not supported": changed(
        EXACT["Transpose"], op_type="Det", name=""
    ),
    "sbn.Erf node 'the_node': there is no such operator in this version": changed(
        EXACT["Transpose"], op_type="Erf", domain="sbn"
    ),
    "others.Erf node 'the_node': operators of this domain are not supported": changed(
        EXACT["Transpose"], op_type="Erf", domain="others"
    ),
    "Softmax node 'the_node': has too many inputs or too few": changed(
        EXACT["Tile"], op_type="Softmax"
    ),
    "initializer 'w' has elements of type 10 of ONNX": float16(),
    "initializer 'w' lies in another file, which is not supported": beside_the_file(),
    "version 13 of the operators of ONNX; version 20 is supported": older_opset(),
    "input 'x' leaves another size open than the first": open_width(),
    "Reshape node 'the_node': its input of shape [1, 3, 5, 7] has not the elements": one(
        "Reshape", X, {"s": integers(4, 5)}
    ),
    "Gemm node 'the_node': only alpha = beta = 1": one(
        "Gemm", {"x": floats(2, 3)}, {"w": floats(3, 4)}, alpha=0.5
    ),
    "input 'w' must be constant": one("Gemm", {"x": floats(2, 3), "w": floats(3, 4)}, {}),
    "sbn.Pack node 'the_node': input 'x' has another type than it needs": changed(
        EXACT["Transpose of bytes"], op_type="Pack", domain="sbn"
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_supported_is_named(reason: str) -> None:
    with pytest.raises(NativeError) as caught:
        Model(REFUSED[reason].SerializeToString())
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_no_model_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(NativeError, match=r"model\.onnx: No such file or directory"):
        Model(path)
    path.write_bytes(b"not a model")
    with pytest.raises(NativeError, match=r"model\.onnx: (the file is damaged|this is no ONNX)"):
        Model(path)
    with pytest.raises(NativeError, match="this is no ONNX file"):
        Model(b"")
    deep = tmp_path.joinpath(*(letter * 250 for letter in "abcd"))
    with pytest.raises(NativeError, match=r"^\.\.\.c+/d{250}/m\.onnx: No such file or directory$"):
        Model(deep / "m.onnx")


def test_batches_that_cannot_be() -> None:
    native = Model(EXACT["Tile"].SerializeToString())
    for batch in (0, -1, 1 << 40):
        with pytest.raises(NativeError, match=r"must lie in \[1, 1048576\]"):
            native.arena_bytes(batch)
    with pytest.raises(NativeError, match="input 'x' was not given"):
        native.run({})


def test_what_is_found_when_it_runs_is_named_too() -> None:
    native = Model(one("Reshape", X, {"s": integers(1, 105)}).SerializeToString())
    assert native.run({"x": X["x"][:1]})["y"].shape == (1, 105)
    with pytest.raises(NativeError, match="Reshape node 'the_node': its input of shape"):
        native.run(X)
    assert native.run({"x": X["x"][:1]})["y"].shape == (1, 105)


def test_a_number_without_a_default_must_be_given() -> None:
    table = np.stack([np.linspace(32768, 65000, 64), np.full(64, 500)]).astype(np.int32)
    inputs: dict[str, Array] = {
        "X": np.zeros((2, 3), np.int16),
        "table": table,
        "seed": integers(1)[0],
        "first_sample": integers(0)[0],
        "samples": integers(2)[0],
    }
    attributes = {"layer": 0, "fan_out": 1}
    proto = model("StochasticSign", inputs, attributes, constants=("table",), shapes={"X": [2, 3]})
    native = Model(proto.SerializeToString())
    given = {"X": inputs["X"], "seed": 1, "samples": 2}
    with pytest.raises(NativeError, match="input 'first_sample' was not given"):
        native.run(given)
    assert native.run(given | {"first_sample": 0})["Y"].shape == (4, 1)
    with pytest.raises(NativeError, match="StochasticSign node 'the_node': input samples is 0"):
        native.run(given | {"samples": 0})
