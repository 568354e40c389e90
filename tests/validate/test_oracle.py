"""Validation finds planted faults, and tells ties from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sbn_converters.tflite.from_onnx import translate
from sbn_deploy.export import export_model, onnx_model
from sbn_deploy.oracle import EngineResult, validate_lce, validate_members
from sbn_deploy.tracing.observed import Observed
from sbn_runtime import Session
from sbn_runtime.errors import ModelError
from tests.converters.tflite.lce import needs_lce

from ..sampled import few


class Network(nn.Module):
    """Signs of sums of integers, exactly 0 often, of batch-norms of them, and of float sums."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def signs(*shape: int) -> Tensor:
            return torch.where(torch.randn(shape, generator=generator) < 0, -1.0, 1.0)

        for name in ("first", "second", "third", "fourth"):
            self.register_buffer(name, signs(32, 32, 3, 3))
        self.norm = nn.BatchNorm2d(32)
        self.real = nn.Conv2d(32, 32, 3)
        self.register_buffer("last", signs(4, 32))

    def sign(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, -1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.sign(functional.conv2d(self.sign(x), self.first))
        y = functional.conv2d(y, self.second) + functional.conv2d(y, self.third)
        y = functional.conv2d(self.sign(y), self.fourth)
        y = self.sign(self.real(self.sign(self.norm(y))))
        return functional.linear(y.mean((2, 3)), self.last)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def proto(network: Network) -> onnx.ModelProto:
    return onnx_model.build([network], torch.randn(2, 32, 14, 14)).proto


# One whose sums of two convolutions can be 0: others have an odd number of pairs.
CHANNEL = 4


@dataclass(frozen=True)
class Fault:
    """One number of an exported file that is not what it should be.

    op, input: in the ONNX file, the last operator of this type and which of its inputs;
    lce: in the TFLite file, the operator's place and which of its inputs. by: what is
    added to the number of CHANNEL, or what packed weights are xored with.
    """

    op: str
    input: int
    lce: tuple[int, int]
    by: float

    def plant(self, array: NDArray[Any]) -> NDArray[Any]:
        changed = array.copy()
        if self.input == 1:
            changed.flat[CHANNEL] ^= changed.dtype.type(self.by)
        else:
            changed.flat[CHANNEL] += changed.dtype.type(self.by)
        return changed


# Both binary layers that end in thresholds have the same ones here.
THRESHOLD = Fault("ConvThreshold", 2, (1, 4), 1)
SUM_OF_INTEGERS = Fault("ConvResidual", 3, (3, 3), -0.5)
WEIGHT = Fault("ConvResidual", 1, (3, 1), 1)
FLOAT_BIAS = Fault("Conv", 2, (8, 2), 0.1)
ROUNDING = Fault("Conv", 2, (8, 2), 3e-5)
FAULTS = [
    pytest.param(THRESHOLD, "first", id="threshold"),
    pytest.param(SUM_OF_INTEGERS, "second", id="exact zeros of a sum"),
    pytest.param(WEIGHT, "second", id="weight"),
    pytest.param(FLOAT_BIAS, "node_where_4", id="float bias"),
]


def _inputs() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((6, 32, 14, 14)).astype(np.float32)


def _onnx_result(
    proto: onnx.ModelProto, network: Network, fault: Fault | None = None
) -> EngineResult:
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    if fault is not None:
        node = [node for node in model.graph.node if node.op_type == fault.op][-1]
        name = node.input[fault.input]
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        changed = fault.plant(onnx.numpy_helper.to_array(tensor))
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, name))
    (result,) = validate_members(model, [network], _inputs(), engine="sbn")
    return result


def _lce_results(
    proto: onnx.ModelProto, network: Network, fault: Fault | None = None
) -> list[EngineResult]:
    model = translate(proto)
    if fault is not None:
        operator, place = fault.lce
        tensor = model.tensors[model.operators[operator].inputs[place]]
        assert tensor.data is not None
        tensor.data = fault.plant(tensor.data)
    return validate_lce(model, [network], _inputs(), name="the file")


def _assert_found(result: EngineResult, layer: str) -> None:
    assert not result.ok
    assert result.first_layer == layer
    assert result.differing_bits > 0
    assert result.tied_inputs == 0
    assert "signs differ" in result.first_difference
    assert "test_oracle.py" in result.first_difference


def test_the_file_as_it_is_agrees(proto: onnx.ModelProto, network: Network) -> None:
    result = _onnx_result(proto, network)
    assert result.ok
    assert result.first_difference == ""


@pytest.mark.parametrize(("fault", "layer"), few(FAULTS, 3))
def test_one_wrong_number_is_found(
    proto: onnx.ModelProto, network: Network, fault: Fault, layer: str
) -> None:
    _assert_found(_onnx_result(proto, network, fault), layer)


def test_floats_moved_by_less_than_a_rounding_are_ties(
    proto: onnx.ModelProto, network: Network
) -> None:
    result = _onnx_result(proto, network, ROUNDING)
    assert result.differing_bits == 0
    assert result.ok


@needs_lce
class TestTflite:
    """The same faults in the file for Larq Compute Engine, under each of its kernel sets."""

    def test_the_file_as_it_is_agrees(self, proto: onnx.ModelProto, network: Network) -> None:
        assert all(result.ok for result in _lce_results(proto, network))

    @pytest.mark.parametrize(("fault", "layer"), few(FAULTS, 1))
    def test_one_wrong_number_is_found(
        self, proto: onnx.ModelProto, network: Network, fault: Fault, layer: str
    ) -> None:
        for result in _lce_results(proto, network, fault):
            _assert_found(result, layer)

    def test_floats_moved_by_less_than_a_rounding_are_ties(
        self, proto: onnx.ModelProto, network: Network
    ) -> None:
        for result in _lce_results(proto, network, ROUNDING):
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
        assert result.compared_bits == (1 + 2) * 9 * 70 * result.inputs


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
    with pytest.raises(ModelError, match="differs from torch"):
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
        assert result.tied_inputs == (1 if result.inputs > 1 else 0)
        assert "1 of 2,048" in result.first_difference or result.inputs < 4
