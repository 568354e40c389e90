"""`sbn import` as it is typed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sbn_converters.tflite.model import Model
from sbn_converters.tflite.read import read
from sbn_converters.tflite.schema import Padding
from sbn_converters.tflite.write import write
from sbn_runtime import ModelError, Session

from ..command import sbn
from ..converters.qonnx import networks
from ..converters.tflite import reference
from ..converters.tflite.binary_parts import convolution, quantized, unpacked
from ..converters.tflite.imported import fill_in
from ..converters.tflite.tflite_models import BPOOL, POOL, WINDOW, Builder

IMAGE = (1, 8, 8, 3)


def classifier(*, softmax: bool = True) -> Model:
    """A small binary network with a float first layer and end."""
    random = np.random.default_rng(1)
    b = Builder()
    kernel = b.constant(random.normal(size=(64, 3, 3, 3)).astype(np.float32))
    bias = b.constant(np.zeros(64, np.float32))
    y = b.operator("CONV_2D", [b.input(IMAGE), kernel, bias], (1, 6, 6, 64), **WINDOW)
    y = convolution(b, quantized(b, y), 64, 64)
    y = b.operator("LceBMaxPool2d", [y], (1, 3, 3, 2), np.int32, **BPOOL)
    y = convolution(b, y, 64, 10, packed=False, padding=Padding.VALID, pad_values=0)
    y = b.operator("RESHAPE", [y, b.integers(1, 10)], (1, 10), new_shape=(1, 10))
    if softmax:
        y = b.operator("SOFTMAX", [y], (1, 10), beta=1.0)
    model = b.finish(y)
    fill_in(model)
    return model


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    """The file of a small classifier."""
    path = tmp_path / "small.tflite"
    path.write_bytes(write(classifier()))
    return path


def test_an_imported_model_answers_like_its_file(tflite: Path) -> None:
    output = tflite.with_suffix(".onnx")
    outcome = sbn("import", tflite, "-o", output)
    assert outcome.status == 0
    assert f"importing {tflite}" in outcome.stderr
    assert "CONV_2D_0 stays float: its input is not made of signs" in outcome.stderr
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert ["LceBconv2d_2", "ConvThreshold", "binary", "Conv,", "sub,", "sign"] in lines
    assert "outputs logits, probabilities; 2 binary layers, 1 float" in outcome.stdout
    session = Session(output)
    images = np.random.default_rng(0).normal(size=(5, *IMAGE[1:])).astype(np.float32)
    model = read(tflite.read_bytes())
    expected = [reference.run(model, image[None])[0] for image in images]
    found = session.predict_proba(images)
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)
    assert session.inputs[0].shape == ("N", 8, 8, 3)
    assert session.metadata["imported"] == "tflite"


def test_other_verbs_take_an_imported_model(tflite: Path) -> None:
    output = tflite.with_suffix(".onnx")
    sbn("import", tflite, "-o", output)
    layers = sbn("inspect", output, "--json").json["layers"]
    assert [layer["binary_macs"] for layer in layers if layer["kind"] == "binary"] == [
        64 * 9 * 64 * 36,
        10 * 9 * 64,
    ]
    assert sbn("benchmark", output, "--runs", "3", "--json").json["results"][0]["runs"] == 3
    images = tflite.with_name("images.npy")
    np.save(images, np.zeros((2, 8, 8, 3), np.float32))
    assert len(sbn("predict", output, images, "--json").json) == 2
    np.save(images, np.zeros((2, 8, 8, 3), np.uint8))
    assert "does not record how images are normalised" in sbn("predict", output, images).refused()


def test_json(tflite: Path) -> None:
    report = sbn("import", tflite, "-o", tflite.with_suffix(".onnx"), "--json").json
    assert report["outputs"] == ["logits", "probabilities"]
    assert report["binary_operators"] == 2
    assert report["batch"] is True
    assert list(report["float_layers"]) == ["CONV_2D_0"]


def test_logits_need_no_softmax(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(write(classifier(softmax=False)))
    sbn("import", tmp_path / "a.tflite", "-o", tmp_path / "a.onnx")
    assert [value.name for value in Session(tmp_path / "a.onnx").outputs] == [
        "logits",
        "probabilities",
    ]


def test_other_outputs_keep_their_names(tmp_path: Path) -> None:
    b = Builder()
    x = b.input((1, 4, 4, 64))
    y = convolution(b, quantized(b, x), 64, 64, packed=False)
    b.model.tensors[y].name = "model/features/add;other"
    model = b.finish(y)
    fill_in(model)
    (tmp_path / "a.tflite").write_bytes(write(model))
    assert sbn("import", tmp_path / "a.tflite", "-o", tmp_path / "a.onnx").status == 0
    session = Session(tmp_path / "a.onnx")
    assert [(value.name, value.shape) for value in session.outputs] == [("add", ("N", 4, 4, 64))]
    with pytest.raises(ModelError, match=r"task none.* which gives add"):
        session.predict(np.zeros((1, 4, 4, 64), np.float32))


def test_heads_are_called_as_in_keras(tmp_path: Path) -> None:
    """Their tensors are "StatefulPartitionedCall:0" and the like; the signature has the names."""
    b = Builder()
    x = b.input((1, 4, 4, 64))
    y = convolution(b, quantized(b, x), 64, 64, packed=False)
    z = b.operator("LOGISTIC", [y], (1, 4, 4, 64))
    for number, index in enumerate((y, z)):
        b.model.tensors[index].name = f"StatefulPartitionedCall:{number}"
    model = b.finish(y, z)
    model.output_names = ["features", "mask"]
    fill_in(model)
    (tmp_path / "a.tflite").write_bytes(write(model))
    outcome = sbn("import", tmp_path / "a.tflite", "-o", tmp_path / "a.onnx")
    assert "outputs features, mask;" in outcome.stdout
    assert "note:" not in outcome.stderr
    assert list(Session(tmp_path / "a.onnx").run(np.ones((2, 4, 4, 64), np.float32))) == [
        "features",
        "mask",
    ]


def test_a_binary_net_with_dense_layers(tmp_path: Path) -> None:
    """Of larq's kind: its dense layers, float in the file, are packed behind Flatten."""
    random = np.random.default_rng(1)
    b = Builder()
    y = convolution(b, quantized(b, b.input((1, 8, 8, 24))), 24, 40, packed=False)
    y = b.operator("MAX_POOL_2D", [y], (1, 4, 4, 40), **{**POOL, "stride_w": 2, "stride_h": 2})
    y = b.operator("ADD", [y, b.constant(random.normal(size=40).astype(np.float32))], (1, 4, 4, 40))
    y = b.operator("RESHAPE", [y, b.integers(1, 640)], (1, 640), new_shape=(1, 640))
    for inputs, outputs in ((640, 256), (256, 10)):
        signs = random.choice([-1.0, 1.0], (outputs, inputs)) * random.normal(size=(outputs, 1))
        y = unpacked(b, quantized(b, y), inputs)
        parts = [y, b.constant(signs.astype(np.float32))]
        parts.append(b.constant(random.normal(size=outputs).astype(np.float32)))
        y = b.operator("FULLY_CONNECTED", parts, (1, outputs))
    model = b.finish(b.operator("SOFTMAX", [y], (1, 10), beta=1.0))
    fill_in(model)
    source, output = tmp_path / "a.tflite", tmp_path / "a.onnx"
    source.write_bytes(write(model))
    outcome = sbn("import", source, "-o", output)
    assert "3 binary layers, 0 float" in outcome.stdout
    assert "note: LceQuantize_8: signs of sums of floats" in outcome.stderr
    layers = sbn("inspect", output, "--json").json["layers"]
    dense = [layer for layer in layers if layer["name"].startswith("FULLY_CONNECTED")]
    # A bit for each weight; each pixel of 40 channels fills a word of 64.
    assert dense[0]["packed_bytes"] == 256 * 4 * 4 * 64 // 8
    assert output.stat().st_size < source.stat().st_size / 8
    images = random.normal(size=(3, 8, 8, 24)).astype(np.float32)
    expected = [reference.run(model, image[None])[0] for image in images]
    found = Session(output).predict_proba(images)
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)


def transposed() -> bytes:
    """A file that ends in a transposed convolution of a binary one."""
    b = Builder()
    y = convolution(b, quantized(b, b.input((1, 4, 4, 64))), 64, 8, packed=False)
    weights = b.constant(np.ones((5, 3, 3, 8), np.float32))
    options = {"padding": Padding.SAME, "stride_h": 2, "stride_w": 2}
    y = b.operator("TRANSPOSE_CONV", [b.integers(1, 7, 8, 5), weights, y], (1, 7, 8, 5), **options)
    model = b.finish(y)
    fill_in(model)
    return write(model)


def test_a_transposed_convolution(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(transposed())
    outcome = sbn("import", tmp_path / "a.tflite", "-o", tmp_path / "a.onnx")
    assert "TRANSPOSE_CONV_2 stays float: a transposed convolution" in outcome.stderr
    shape = Session(tmp_path / "a.onnx").outputs[0].shape
    assert shape == ("N", 7, 8, 5)


@pytest.mark.parametrize("size", [9, 0, -1, 2**31 - 1])
def test_a_transposed_convolution_of_another_size(size: int, tmp_path: Path) -> None:
    """The size that the operator is given is not the one that its output has."""
    given, wrong = (np.array([1, n, 8, 5], np.int32).tobytes() for n in (7, size))
    data = transposed()
    # Once as the constant, once as the shape of the output.
    assert data.count(given) == 2
    for where in (0, data.index(given) + 1):
        at = data.index(given, where)
        (tmp_path / "a.tflite").write_bytes(data[:at] + wrong + data[at + 16 :])
        run = sbn("import", tmp_path / "a.tflite", "-o", tmp_path / "a.onnx")
        message = run.refused_after_progress()
        assert message.startswith(f"{tmp_path / 'a.tflite'}: ")
        assert str(size) in message


def test_files_that_are_none(tmp_path: Path) -> None:
    output = tmp_path / "a.onnx"
    missing = tmp_path / "missing.tflite"
    message = sbn("import", missing, "-o", output).refused_after_progress()
    assert message == f"{missing} does not exist; check the path"
    message = sbn("import", tmp_path, "-o", output).refused_after_progress()
    assert message == f"cannot read {tmp_path}: Is a directory"
    text = tmp_path / "text.tflite"
    text.write_text("not a model of any kind")
    message = sbn("import", text, "-o", output).refused_after_progress()
    assert message.startswith(f"{text} is damaged, or not a TFLite file")
    assert not output.exists()


def test_a_truncated_file(tflite: Path) -> None:
    tflite.write_bytes(tflite.read_bytes()[:1000])
    message = sbn("import", tflite, "-o", tflite.with_suffix(".onnx")).refused_after_progress()
    assert message.startswith(f"{tflite}: ")


def refused(tmp_path: Path, model: Model) -> str:
    """What is said of a model that cannot be imported."""
    fill_in(model)
    path = tmp_path / "a.tflite"
    path.write_bytes(write(model))
    return sbn("import", path, "-o", tmp_path / "a.onnx").refused_after_progress()


def test_a_quantised_model(tmp_path: Path) -> None:
    b = Builder()
    x = b.operator("QUANTIZE", [b.input((1, 4))], (1, 4), np.int8)
    message = refused(tmp_path, b.finish(b.operator("DEQUANTIZE", [x], (1, 4))))
    assert "operator 0 (QUANTIZE): the model is quantised" in message


def test_a_file_of_brevitas(tmp_path: Path) -> None:
    """What a file is, its content says: the name is one of TFLite."""
    source, output = tmp_path / "brevitas.tflite", tmp_path / "a.onnx"
    source.write_bytes(networks.brevitas().SerializeToString())
    outcome = sbn("import", source, "-o", output)
    assert outcome.status == 0
    assert "conv0 stays float: " in outcome.stderr
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert ["conv1", "ConvThreshold", "binary"] in [line[:3] for line in lines]
    assert "outputs logits, probabilities; 2 binary layers, 1 float" in outcome.stdout
    assert [layer["name"] for layer in sbn("inspect", output, "--json").json["layers"]]
    images = tmp_path / "images.npy"
    np.save(images, np.zeros((3, *networks.IMAGE[1:]), np.float32))
    assert len(sbn("predict", output, images, "--json").json) == 3


def test_an_onnx_file_that_cannot_be_imported(tmp_path: Path) -> None:
    proto = networks.brevitas()
    proto.graph.node[0].op_type = "FloatQuant"
    (tmp_path / "a").write_bytes(proto.SerializeToString())
    message = sbn("import", tmp_path / "a", "-o", tmp_path / "a.onnx").refused_after_progress()
    assert message.startswith("pixels (FloatQuant): the operator of qonnx.custom_op.general is not")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_unsupported_operator(tmp_path: Path) -> None:
    b = Builder()
    x = b.input((1, 3, 4))
    message = refused(tmp_path, b.finish(b.operator("BATCH_MATMUL", [x, x], (1, 3, 3), adj_y=True)))
    assert "operator 0 (BATCH_MATMUL) is not supported; replace that layer" in message


def test_a_model_with_two_inputs(tmp_path: Path) -> None:
    b = Builder()
    y = b.operator("ADD", [b.input((1, 4)), b.input((1, 4))], (1, 4))
    assert "has 2 inputs" in refused(tmp_path, b.finish(y))


def test_a_model_without_binary_layers(tmp_path: Path) -> None:
    b = Builder()
    message = refused(tmp_path, b.finish(b.operator("ABS", [b.input((1, 4))], (1, 4))))
    assert "has no binary layer" in message


def test_outputs_that_cannot_be_written(tflite: Path) -> None:
    folder = tflite.parent
    assert "is a folder" in sbn("import", tflite, "-o", folder).refused()
    assert "no such folder" in sbn("import", tflite, "-o", folder / "none" / "a.onnx").refused()


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_keras_models_need_tensorflow(tmp_path: Path) -> None:
    model = tmp_path / "model.h5"
    model.write_bytes(b"\x89HDF\r\n\x1a\n")
    message = sbn("import", model, "-o", tmp_path / "a.onnx").refused_after_progress()
    assert "needs tensorflow" in message
    assert "pip install 'sbn-deploy[tflite]'" in message


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_damaged_keras_model(tmp_path: Path) -> None:
    model = tmp_path / "model.h5"
    model.write_bytes(b"\x89HDF\r\n\x1a\nno model")
    message = sbn("import", model, "-o", tmp_path / "a.onnx").refused_after_progress()
    assert message.startswith(f"{model}: Larq Compute Engine cannot convert it")
