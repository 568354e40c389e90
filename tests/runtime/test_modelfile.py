"""What is read of a file before onnxruntime sees it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import onnx
import pytest

from sbn_runtime import ModelError
from sbn_runtime.modelfile import external_files

from ..small_models import Classifier


def beside(path: Path, location: str) -> Path:
    """A model whose one constant lies in another file."""
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    graph = onnx.helper.make_graph([], "none", [], [], [tensor])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def test_none(tmp_path: Path) -> None:
    assert external_files(Classifier.random().write(tmp_path / "m.onnx")) == []


def test_in_and_below_its_folder(tmp_path: Path) -> None:
    for name in ("data.bin", "deep/er/data.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(12))
        assert external_files(beside(tmp_path / "m.onnx", name)) == [PurePosixPath(name)]


@pytest.mark.parametrize("name", ["missing", "../data.bin", "/etc/passwd", "a\0b", ""])
def test_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(12))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="which is not a file in or below its folder"):
        external_files(beside(tmp_path / "folder" / "m.onnx", name))
