"""Binarized networks become files in which every binary layer is packed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sbn_deploy.export import ExportReport, Noise, export_model
from sbn_deploy.materialize import materialize, stochastic_signs
from sbn_deploy.nn import Binarized, binarize
from sbn_runtime import Session
from tests.nn.float_networks import Bottleneck, MobileNet, ResNet, Vgg, signals

from ..sampled import few

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vgg": (Vgg, (3, 16, 16)),
    "vgg without norms": (lambda: Vgg(norms=False), (3, 16, 16)),
    "resnet": (ResNet, (3, 16, 16)),
    "bottleneck": (Bottleneck, (3, 16, 16)),
    "mobilenet": (MobileNet, (3, 16, 16)),
    "signals": (signals, (1, 64)),
}


def made(name: str, **options: Any) -> tuple[Binarized, torch.Tensor]:
    """A binarized network whose batch-norms have seen data, and such data."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    result = binarize(make(), **options)
    x = torch.randn(8, *shape)
    for _ in range(2):
        result.model(x)
    return result, x


def check_packed(result: Binarized, report: ExportReport) -> None:
    packed = [layer.name for layer in report.layers if layer.kind == "binary"]
    assert len(packed) == len(result.binary)
    for layer in result.binary:
        assert any(name.startswith(f"{layer}.layer") for name in packed), layer


@pytest.mark.parametrize(
    ("name", "padding_value"), few([*((name, 1.0) for name in NETWORKS), ("resnet", 0.0)], 2)
)
def test_every_binary_layer_is_packed(name: str, padding_value: float, tmp_path: Path) -> None:
    result, x = made(name, padding_value=padding_value)
    (fixed,) = materialize(result.model)
    check_packed(result, export_model(fixed, x[:2], tmp_path / "net.onnx"))


def test_noise_and_members_of_a_binarized_network(tmp_path: Path) -> None:
    result, x = made("resnet")
    members = materialize(result.model, weights="sample", members=2)
    noise = Noise(stochastic_signs(result.model), samples=3)
    path = tmp_path / "net.onnx"
    check_packed(result, export_model(members, x[:2], path, noise=noise))
    outputs = Session(path).run(x.numpy())
    assert outputs["member_logits"].shape == (6, 8, 10)
    assert len(np.unique(outputs["member_logits"], axis=0)) == 6
