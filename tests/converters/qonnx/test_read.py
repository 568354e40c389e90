"""Reading ONNX files: what is taken, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from sbn_converters.onnx.graph import layer_name
from sbn_converters.qonnx.read import is_onnx, read
from sbn_converters.qonnx.to_onnx import to_onnx
from sbn_runtime.errors import ModelError, SbnError, UnsupportedLayerError

from .models import FLOAT, GENERAL, computed, model, node, run, translated

SIZE = (1, 2, 3, 3)


def negation(**options: object) -> onnx.ModelProto:
    return model([node("Neg", ["x"], "y")], SIZE, {}, **options)  # type: ignore[arg-type]


def refused(proto: onnx.ModelProto, folder: Path | None = None) -> str:
    with pytest.raises(SbnError) as raised:
        to_onnx(read(proto.SerializeToString(), "a.onnx", folder))
    assert type(raised.value) in (ModelError, UnsupportedLayerError)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("data", [b"", b"not a model", negation().SerializeToString()[:40]])
def test_bytes_that_are_no_model(data: bytes) -> None:
    assert not is_onnx(data)
    with pytest.raises(ModelError, match=r"a\.onnx: not an ONNX file"):
        read(data, "a.onnx")


def test_initializers_that_are_inputs_are_constants() -> None:
    proto = model([node("Mul", ["x", "w"], "y")], SIZE, {"w": 3.0})
    proto.graph.input.append(helper.make_tensor_value_info("w", FLOAT, ()))
    assert [value.name for value in read(proto.SerializeToString(), "a").graph.inputs] == ["x"]


def test_functions_are_inlined() -> None:
    """A function that calls another; only standard operators are left."""
    opset = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    inner = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], "b")], opset
    )
    calls = [node("Twice", ["a"], "c", "own"), node("Twice", ["c"], "b", "own")]
    outer = helper.make_function("own", "Fourfold", ["a"], ["b"], calls, opset)
    proto = model([node("Fourfold", ["x"], "y", "own")], SIZE, {})
    proto.functions.extend([inner, outer])
    x = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    np.testing.assert_array_equal(computed(proto, x), 4 * x)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model whose weights lie in a file beside it."""
    weights = np.arange(18, dtype=np.float32).reshape(SIZE)
    proto = model([node("Add", ["x", "w"], "y")], SIZE, {"w": weights})
    path = tmp_path / "a.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="a.data", size_threshold=0)
    return path


def test_weights_beside_the_file(beside: Path) -> None:
    (weights,) = read(beside.read_bytes(), "a", beside.parent).graph.initializers.values()
    assert weights.const_value is not None
    assert weights.const_value.numpy().ravel().tolist() == list(range(18))


def test_weights_that_are_not_beside_the_file(beside: Path, tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(beside.read_bytes())
    assert "give the path of the file" in refused(proto)
    (tmp_path / "a.data").unlink()
    assert "cannot read the weights beside it" in refused(proto, tmp_path)


def test_weights_elsewhere_are_not_read(beside: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    proto = onnx.load_model_from_string(beside.read_bytes())
    proto.graph.initializer[0].external_data[0].value = "../a.data"
    assert "cannot read the weights beside it" in refused(proto, folder)


def test_more_than_two_gigabytes_are_not_even_read(beside: Path) -> None:
    proto = onnx.load_model_from_string(beside.read_bytes())
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "length":
            entry.value = str(1 << 31)
    assert "is larger than 2 GB" in refused(proto, beside.parent)


def test_unknown_operators() -> None:
    custom = model([node("Im2Col", ["x"], "y", GENERAL)], SIZE, {})
    assert refused(custom).startswith("y (Im2Col): the operator of qonnx.custom_op.general is not")
    unknown = model([node("Sgin", ["x"], "y")], SIZE, {})
    assert refused(unknown).startswith("y (Sgin): the operator is not known; export the network")
    newer = negation(opset=12)
    newer.graph.node[0].op_type = "Mish"
    assert refused(newer) == "y (Mish) is not an operator of opset 12, in which the file is written"


def test_branches_are_refused() -> None:
    output = helper.make_tensor_value_info("b", FLOAT, None)
    branch = helper.make_graph([node("Neg", ["x"], "b")], "branch", [], [output])
    proto = model(
        [node("If", ["c"], "y", then_branch=branch, else_branch=branch)],
        SIZE,
        {"c": np.array(True)},
    )
    assert "contains subgraphs" in refused(proto)


def test_damaged_graphs() -> None:
    proto = negation()
    proto.graph.node[0].input[0] = "z"
    assert refused(proto) == "a.onnx: y reads 'z', which nothing before it computes"
    proto = negation()
    del proto.opset_import[:]
    assert "does not declare its opset" in refused(proto)
    proto = model([node("Add", ["x", "w"], "y")], SIZE, {"w": np.zeros(4, np.float32)})
    assert "do not fit together" in refused(proto)
    proto.graph.initializer[0].dims[0] = 5
    assert "a damaged ONNX file" in refused(proto)
    proto = model([node("Add", ["x"], "y")], SIZE, {})
    assert "a damaged ONNX file" in refused(proto)


def test_inputs_that_are_not_supported() -> None:
    halves = negation(dtype=onnx.TensorProto.FLOAT16)
    assert "the input x is float16; float32 and uint8 are supported" in refused(halves)
    free = model([node("Neg", ["x"], "y")], ("N", 3, "height", 4), {})
    assert "export the network with a fixed image size" in refused(free)
    empty = model([node("Neg", ["x"], "y")], (1, 0), {})
    assert "export the network with a fixed image size" in refused(empty)
    large = model([node("Neg", ["x"], "y")], (1, 1 << 20, 1 << 20), {})
    assert "is larger than a gigabyte" in refused(large)


def test_other_floats_and_huge_values_are_named() -> None:
    cast = node("Cast", ["x"], "h", to=onnx.TensorProto.FLOAT16)
    back = node("Cast", ["h"], "y", to=FLOAT)
    assert refused(model([cast, back], SIZE, {})).startswith("h (Cast) computes in float16")
    constants = {"big": np.array([1, 1 << 15, 1 << 15, 3, 3], np.int64)}
    huge = model([node("Expand", ["x", "big"], "y")], (1, 1, 1, 3, 3), constants)
    assert refused(huge).startswith("y (Expand) computes 9,663,676,416 numbers")


def test_tensors_that_are_sparse() -> None:
    proto = model([node("Add", ["x", "w"], "y")], (1, 4), {})
    values = helper.make_tensor("w", FLOAT, [1], [1.0])
    indices = helper.make_tensor("w_indices", onnx.TensorProto.INT64, [1], [2])
    sparse = helper.make_sparse_tensor(values, indices, [4])
    proto.graph.sparse_initializer.append(sparse)
    assert "has sparse weights" in refused(proto)


MODES = pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])


@MODES
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (3, 2), (4, 3)])
def test_automatic_padding_of_pools_becomes_numbers(
    mode: str, op_type: str, size: int, kernel: int, stride: int
) -> None:
    said = {"auto_pad": mode, "strides": [stride] * 2, "kernel_shape": [kernel] * 2}
    proto = model([node(op_type, ["x"], "y", **said)], (1, 2, size, size), {})
    x = np.random.default_rng(1).normal(size=(1, 2, size, size)).astype(np.float32)
    (layer,) = translated(proto).graph
    assert layer.attributes["auto_pad"].as_string() == "NOTSET"
    np.testing.assert_allclose(computed(proto, x), run(proto, x), rtol=1e-5, atol=1e-6)


@MODES
@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (2, 1, 2)])
def test_automatic_padding_of_convolutions_becomes_numbers(
    mode: str, size: int, kernel: int, stride: int, dilation: int
) -> None:
    """A dilated kernel is one with zeros in between: onnxruntime pads that one as ONNX says."""
    weights = np.random.default_rng(0).normal(size=(4, 2, kernel, kernel)).astype(np.float32)
    whole = (kernel - 1) * dilation + 1
    sparse = np.zeros((4, 2, whole, whole), np.float32)
    sparse[:, :, ::dilation, ::dilation] = weights
    x = np.random.default_rng(1).normal(size=(1, 2, size, size)).astype(np.float32)
    said = {"auto_pad": mode, "strides": [stride] * 2}
    layer = node("Conv", ["x", "w"], "y", **said, dilations=[dilation] * 2)
    found = computed(model([layer], x.shape, {"w": weights}), x)
    expected = run(model([node("Conv", ["x", "w"], "y", **said)], x.shape, {"w": sparse}), x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("/Conv", "/Conv"),
        ("/features/features.0/Conv", "features.0"),
        ("/layer2/layer2.0/downsample/downsample.1/Conv", "layer2.0.downsample.1"),
        ("Conv_17", "Conv_17"),
    ],
)
def test_layers_are_called_as_their_modules(name: str, layer: str) -> None:
    proto = model([node("Conv", ["x", "w"], "y")], (1, 2, 3, 3), {"w": np.ones((1, 2, 1, 1), "f")})
    proto.graph.node[0].name = name
    (conv,) = translated(proto).graph
    assert layer_name(conv) == layer
