"""Validation finds faults that are planted, and tells ties from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbn_deploy.export import export_model, onnx_model
from sbn_deploy.export.observed import Observed
from sbn_deploy.validate import EngineResult, validate_members
from sbn_runtime import Session
from sbn_runtime.errors import ModelError

Change = Callable[[onnx.NodeProto, dict[str, onnx.TensorProto]], None]


class Network(nn.Module):
    """Sums of whole numbers, exactly 0 often, and a sign of float sums."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def signs(*shape: int) -> Tensor:
            return torch.where(torch.randn(shape, generator=generator) < 0, -1.0, 1.0)

        self.register_buffer("first", signs(16, 8, 3, 3))
        self.register_buffer("second", signs(16, 16, 3, 3))
        self.real = nn.Conv2d(16, 8, 3)
        self.register_buffer("last", signs(4, 8))

    def sign(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, -1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.sign(functional.conv2d(self.sign(x), self.first))
        y = functional.conv2d(y, self.second)
        y = self.sign(self.real(y)).amax((2, 3))
        return functional.linear(y, self.last)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def path(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("oracle") / "model.onnx"
    return export_model(network, torch.randn(2, 8, 9, 9), file).path


def _validated(path: Path, network: Network, change: Change) -> EngineResult:
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        change(node, tensors)
    inputs = np.random.default_rng(0).standard_normal((6, 8, 9, 9)).astype(np.float32)
    (result,) = validate_members(model, [network], inputs, every_engine=False)
    return result


def _edit(tensor: onnx.TensorProto, change: Callable[[np.ndarray], None]) -> None:
    array = onnx.numpy_helper.to_array(tensor).copy()
    change(array)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def test_the_file_as_it_is_agrees(path: Path, network: Network) -> None:
    result = _validated(path, network, lambda *_: None)
    assert result.ok
    assert result.first_difference == ""


def test_a_wrong_sign_of_an_exact_zero_is_no_tie(path: Path, network: Network) -> None:
    def raise_threshold(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> None:
        if node.op_type == "ConvThreshold":
            _edit(tensors[node.input[2]], lambda array: array.__iadd__(1))

    result = _validated(path, network, raise_threshold)
    assert not result.ok
    assert result.differing_bits > 0
    assert result.tied_samples == 0
    assert "signs differ" in result.first_difference
    assert "test_oracle.py" in result.first_difference


def test_a_flipped_weight_shows_in_the_signs_after_it(path: Path, network: Network) -> None:
    def flip(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> None:
        if node.op_type == "ConvScale":
            one = np.uint64(1)
            _edit(tensors[node.input[1]], lambda array: array.__ixor__(one))

    result = _validated(path, network, flip)
    assert not result.ok
    assert result.differing_bits > 0


def test_floats_moved_by_less_than_a_rounding_are_ties(path: Path, network: Network) -> None:
    def move(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> None:
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2:
            _edit(tensors[node.input[2]], lambda array: array.__iadd__(3e-5))

    result = _validated(path, network, move)
    assert result.differing_bits == 0
    assert result.ok


class Points(nn.Module):
    """Its rows are the points of images, so that the first axis is not that of images."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Conv1d(3, 70, 1)
        self.dense = nn.ParameterList(torch.randn(70, 70) for _ in range(2))
        self.head = nn.Linear(70, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.embedding(x).transpose(1, 2).reshape(-1, 70)
        for weight in self.dense:
            rows = functional.linear(torch.sign(rows), torch.sign(weight))
        return self.head(rows.view(len(x), -1, 70).amax(1))


def test_rows_of_points(tmp_path: Path) -> None:
    torch.manual_seed(0)
    points = Points().eval()
    report = export_model(points, torch.randn(2, 3, 9), str(tmp_path / "model.onnx"))
    assert report.packed_layers == 2
    inputs = np.random.default_rng(0).standard_normal((5, 3, 9)).astype(np.float32)
    for result in validate_members(onnx.load(report.path), [points], inputs):
        assert result.ok
        # Sums of 70 signs may be 0, of which torch.sign is 0: two bits each.
        assert result.compared_bits == (1 + 2) * 9 * 70 * result.samples


class Attention(nn.Module):
    """Scores of signs, whole numbers that are often 0, of which torch.sign is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(64, 64) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k = (functional.linear(torch.sign(x), torch.sign(w)) for w in self.weights[:2])
        scores = torch.sign(q) @ torch.sign(k).transpose(-1, -2)
        mixed = torch.sign(scores) @ torch.sign(k)
        return functional.linear(torch.sign(mixed), torch.sign(self.weights[2]))


def test_zeros_that_are_common_are_no_ties(tmp_path: Path) -> None:
    torch.manual_seed(0)
    attention = Attention().eval()
    report = export_model(attention, torch.randn(2, 16, 64), tmp_path / "model.onnx", task="none")
    assert report.packed_layers == 3
    x = torch.randn(5, 16, 64)
    (answer,) = Session(report.path).run(x.numpy()).values()
    with torch.no_grad():
        np.testing.assert_array_equal(answer, attention(x).numpy())


def test_a_file_that_takes_common_zeros_as_ones_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    blind = Observed(frozenset(), (torch.zeros(2, 16, 64),))
    monkeypatch.setattr(onnx_model, "observe", lambda traced: blind)
    with pytest.raises(ModelError, match="answers otherwise than torch"):
        export_model(Attention().eval(), torch.randn(2, 16, 64), tmp_path / "model.onnx")


class Mean(nn.Module):
    """A sign of means, one of which is exactly 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 512))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.sign(x.mean(1)), torch.sign(self.weight))


def test_a_single_zero_is_a_tie(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mean = Mean().eval()
    report = export_model(mean, torch.randn(2, 2, 512), tmp_path / "model.onnx")
    x = torch.randn(4, 2, 512)
    x[1, :, 7] = torch.tensor([0.5, -0.5])
    for result in validate_members(onnx.load(report.path), [mean], x.numpy()):
        assert result.ok
        assert result.tied_samples == (1 if result.samples > 1 else 0)
        assert "1 of 2,048" in result.first_difference or result.samples < 4
