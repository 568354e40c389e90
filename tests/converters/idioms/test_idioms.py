"""Every idiom is packed and exact, or stays float for the reason that the table gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sbn_deploy.export import ExportReport, export_model
from sbn_deploy.oracle import validate_members
from sbn_runtime import Session

from ...sampled import few
from .networks import CHANNELS, GROUPS, SIZE, Activation, Branches, Layer, branch
from .page import PAGE, written
from .table import ACTIVATIONS


@dataclass(frozen=True)
class Exported:
    """A group's network and its file."""

    group: str
    network: Branches
    report: ExportReport


def _inputs(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, CHANNELS, SIZE, SIZE, generator=generator)


@pytest.fixture(scope="module", params=few(GROUPS, 1))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network = Branches(request.param, GROUPS[request.param]).eval()
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return Exported(request.param, network, export_model(network, _inputs(2, 1), path))


def test_idioms_are_packed_or_say_why(exported: Exported) -> None:
    wrong = {}
    for index, idiom in enumerate(GROUPS[exported.group]):
        prefix = f"branches.{index}."
        layers = [x for x in exported.report.layers if x.name.startswith(prefix) and x.candidate]
        packed = [layer for layer in layers if layer.kind == "binary"]
        reasons = [layer.why for layer in exported.report.layers if layer.name.startswith(prefix)]
        expected = 2 if exported.group == "between" else idiom.layers
        fits = len(packed) == (0 if idiom.why else expected)
        fits &= any(idiom.why in reason for reason in reasons) if idiom.why else not any(reasons)
        if not fits:
            wrong[idiom.code] = [
                (x.name, x.op, x.kind, x.why)
                for x in exported.report.layers
                if x.name.startswith(prefix)
            ]
    assert wrong == {}


def test_signs_and_answers_are_those_of_torch(exported: Exported) -> None:
    model = onnx.load(exported.report.path)
    inputs = _inputs(5, 2).numpy()
    (result,) = validate_members(model, [exported.network], inputs, engine="sbn")
    assert (result.first_layer, result.differing_bits) == ("", 0)
    assert result.compared_bits > 0
    assert result.ok


def test_answers_of_exact_zeros_are_those_of_torch(tmp_path: Path) -> None:
    idioms = [idiom for idiom in ACTIVATIONS if not idiom.tie]
    network = Branches("activations", idioms).eval()
    with torch.no_grad():
        # Zeros of the input are zeros behind the batch-norm.
        network.norm.running_mean.zero_()
        network.norm.bias.zero_()
    inputs = _inputs(3, 3)
    inputs[0] = 0
    inputs[1, :, :3] = 0
    report = export_model(network, inputs, tmp_path / "model.onnx")
    assert report.notes == []
    found = Session(report.path, threads=1).run(inputs.numpy())
    with torch.no_grad():
        expected = network(inputs)
    for index, idiom in enumerate(idioms):
        values = found[f"branch{index}"], expected[f"branch{index}"].numpy()
        np.testing.assert_allclose(*values, atol=2e-4, err_msg=idiom.code)


def test_a_sign_of_whole_numbers_that_is_0_at_0_stays_exact(tmp_path: Path) -> None:
    # Sums of an even number of products are 0 often, and torch.sign(0) is 0.
    network = nn.Sequential(
        branch("activations", ACTIVATIONS[0]),
        Activation("torch.sign(x)"),
        Layer("F.conv2d(s, torch.where(w < 0, -1.0, 1.0), padding=1)"),
    ).eval()
    inputs = _inputs(4, 4)
    report = export_model(network, inputs, tmp_path / "model.onnx", task="none")
    assert report.float_layers == {}
    assert [layer.name for layer in report.layers if layer.kind == "binary"] == ["0.1", "2", "2"]
    with torch.no_grad():
        hidden, expected = network[0](inputs), network(inputs)
    assert (hidden == 0).sum() > 100
    found = Session(report.path, threads=1).run(inputs.numpy())["logits"]
    np.testing.assert_array_equal(found, expected.numpy())


def test_the_documents_show_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.converters.idioms.page"
