"""Files of Brevitas and FINN, and plain ONNX, from bytes to the packed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from sbn_deploy.importing import ImportReport, import_onnx
from sbn_runtime import Session
from sbn_runtime.errors import ModelError, UnsupportedLayerError

from . import networks
from .models import computed, model, node


def imported(proto: onnx.ModelProto, folder: Path) -> tuple[ImportReport, Session]:
    report = import_onnx(proto.SerializeToString(), folder / "out.onnx")
    return report, Session(report.path)


def images(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def binary(report: ImportReport) -> dict[str, list[str]]:
    return {layer.op: layer.fused for layer in report.layers if layer.kind == "binary"}


def alone(proto: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the source computes in standard ONNX, image by image."""
    return np.concatenate([computed(proto, x[i : i + 1]) for i in range(len(x))])


def test_a_file_of_brevitas(tmp_path: Path) -> None:
    proto = networks.brevitas()
    report, session = imported(proto, tmp_path)
    assert [(x.name, x.kind) for x in report.layers if x.kind in ("binary", "float")] == [
        ("conv0", "float"),
        ("conv1", "binary"),
        ("fc", "binary"),
    ]
    assert set(binary(report)) == {"ConvThreshold", "DenseScale"}
    assert report.file_bytes < report.source_bytes / 2
    assert (report.format, report.batch, report.binary_operators) == ("onnx", True, 2)
    x = images(5, *networks.IMAGE[1:])
    np.testing.assert_allclose(session.run(x)["logits"], alone(proto, x), rtol=1e-4, atol=1e-3)
    assert session.metadata["imported"] == "onnx"
    assert session.task == "classification"


def test_a_file_of_finn(tmp_path: Path) -> None:
    proto = networks.finn()
    report, session = imported(proto, tmp_path)
    assert set(binary(report)) == {"ConvThreshold", "DenseScale"}
    assert len(report.float_layers) == 1
    x = images(5, *networks.IMAGE[1:])
    np.testing.assert_allclose(session.run(x)["logits"], alone(proto, x), rtol=1e-4, atol=1e-4)


def test_plain_onnx(tmp_path: Path) -> None:
    proto = networks.plain()
    report, session = imported(proto, tmp_path)
    assert list(binary(report)) == ["ConvScaleClamp"]
    assert list(report.float_layers) == ["stem", "head"]
    assert all(report.float_layers.values())
    x = images(5, *networks.IMAGE[1:])
    np.testing.assert_allclose(session.run(x)["logits"], alone(proto, x), rtol=1e-4, atol=1e-4)


def test_signs_stay_packed_from_a_convolution_to_a_dense_layer(tmp_path: Path) -> None:
    proto = networks.flattened_channels_last()
    report, session = imported(proto, tmp_path)
    assert [layer.op for layer in report.layers] == ["Pack", "ConvThreshold", "DenseScale"]
    x = images(3, *networks.IMAGE[1:])
    np.testing.assert_array_equal(session.run(x)["logits"], alone(proto, x))


@pytest.mark.parametrize(
    ("end", "task", "outputs"),
    [
        ("Softmax", "classification", ["logits", "probabilities"]),
        ("LogSoftmax", "classification", ["logits", "probabilities"]),
        ("Sigmoid", "multilabel", ["logits", "probabilities"]),
    ],
)
def test_nothing_is_normalised_twice(
    tmp_path: Path, end: str, task: str, outputs: list[str]
) -> None:
    proto = networks.brevitas(end)
    report, session = imported(proto, tmp_path)
    assert (session.task, report.outputs) == (task, outputs)
    x = images(3, *networks.IMAGE[1:])
    scores = alone(networks.brevitas(), x)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    softmax = weights / weights.sum(axis=1, keepdims=True)
    expected = 1 / (1 + np.exp(-scores.astype(np.float64))) if end == "Sigmoid" else softmax
    np.testing.assert_allclose(session.run(x)["probabilities"], expected, atol=1e-4)


def test_images_that_are_mixed_keep_their_number(tmp_path: Path) -> None:
    proto = networks.mixing()
    report, session = imported(proto, tmp_path)
    assert not report.batch
    assert session.inputs[0].shape == (4, *networks.IMAGE[1:])
    x = images(4, *networks.IMAGE[1:])
    np.testing.assert_allclose(session.run(x)["logits"], computed(proto, x), atol=1e-4)


def test_outputs_without_a_task_keep_their_names(tmp_path: Path) -> None:
    proto = networks.tokens()
    report, session = imported(proto, tmp_path)
    assert (session.task, report.outputs) == ("none", ["steps"])
    x = images(3, 5, 64)
    np.testing.assert_array_equal(session.run(x)["steps"], alone(proto, x))


def test_signs_of_three_levels_stay_float(tmp_path: Path) -> None:
    """Two bits are not binary: the reason is said, and nothing is written."""
    proto = networks.brevitas()
    for nodes in proto.graph.node:
        if nodes.op_type == "BipolarQuant" and nodes.input[0] in ("n0", "p1"):
            nodes.op_type = "Quant"
            nodes.input.extend(["zero", "bits2"])
            nodes.attribute.extend(
                onnx.helper.make_attribute(name, value)
                for name, value in (("signed", 0), ("narrow", 0))
            )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2, np.float32), "bits2"))
    with pytest.raises(UnsupportedLayerError, match=r"no binary layer that can be packed \(.*: "):
        import_onnx(proto.SerializeToString(), tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_float_network(tmp_path: Path) -> None:
    proto = model([node("Neg", ["x"], "y")], (1, 4), {})
    with pytest.raises(UnsupportedLayerError, match="has no binary layer; onnxruntime runs it"):
        import_onnx(proto.SerializeToString(), tmp_path / "out.onnx")


def test_our_own_file(tmp_path: Path) -> None:
    report, _ = imported(networks.brevitas(), tmp_path)
    with pytest.raises(
        UnsupportedLayerError, match="is already a file of sbn-deploy; use it as it is"
    ):
        import_onnx(report.path.read_bytes(), tmp_path / "again.onnx")


def test_a_packed_network_that_computes_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sbn_deploy.importing import check

    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="gives different results from the file"):
        import_onnx(networks.finn().SerializeToString(), tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []
