"""Engines get the same images, each in the form that it takes."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sbn_deploy.lce.interpreter import is_installed
from sbn_deploy.measure import lce_models, networks
from sbn_deploy.measure.latency import lce
from sbn_deploy.measure.latency.engines import sbn_engine, stock_engine
from sbn_deploy.measure.latency.torch_engine import binary_network, torch_engine
from sbn_deploy.untrained import export_untrained
from sbn_runtime import available_isas, isa
from sbn_runtime.errors import MissingDependencyError
from sbn_runtime.native import ISA_VARIABLE

from ...small_models import SIZE, Classifier

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 1, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("kernels", available_isas())
def test_each_kernel_set_can_be_measured(kernels: str, tmp_path: Path) -> None:
    model = Classifier.random()
    before = isa(), os.environ.get(ISA_VARIABLE)
    engine = sbn_engine("sbn", model.write(tmp_path / "model.onnx"), threads=1, isa=kernels)
    assert (isa(), os.environ.get(ISA_VARIABLE)) == before
    output = engine.run(engine.adapt(IMAGES))
    np.testing.assert_array_equal(output["logits"], model.logits(IMAGES))


def test_a_model_without_our_kernels_gives_the_same(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "model.onnx")
    ours, stock = (make("x", path, threads=1) for make in (sbn_engine, stock_engine))
    np.testing.assert_allclose(
        ours.predict_proba(IMAGES), stock.predict_proba(IMAGES), rtol=1e-5, atol=1e-7
    )


def test_pixels_reach_a_model_that_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_untrained("cifar-vgg", path, size=8, width=8)
    engine = sbn_engine("sbn", path, threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    images = ((pixels.astype(np.float32) * 2 - 255) / 255).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(engine.adapt(images), engine.session.preprocess(pixels))


def test_torch_gets_the_images_with_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5)).eval()
    before = torch.get_num_threads()
    try:
        engine = torch_engine("torch", network, threads=1)
        found = engine.run(engine.adapt(IMAGES))
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        np.testing.assert_allclose(found, network(torch.from_numpy(IMAGES)), rtol=1e-5, atol=1e-6)


def test_torch_gets_fixed_signs() -> None:
    network = binary_network("cifar-vgg", {"size": 8, "width": 8})
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network(x), rtol=0, atol=0)
    assert not network.training


def test_lce_has_every_network() -> None:
    assert tuple(lce_models.NETWORKS) == networks.NETWORKS


@pytest.mark.skipif(is_installed(), reason="larq-compute-engine is installed")
def test_lce_is_optional(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="larq-compute-engine"):
        lce.lce_engine("LCE", tmp_path / "none.tflite", threads=1, xnnpack=False)


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in networks.GENERATOR_PACKAGES),
    reason="needs the extra tflite",
)
def test_lce_runs_the_generated_file(tmp_path: Path) -> None:
    path = networks._tflite("cifar-vgg", tmp_path / "model.tflite")
    assert path is not None
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    outputs = []
    for xnnpack in (False, True):
        engine = lce.lce_engine("LCE", path, threads=1, xnnpack=xnnpack)
        outputs.append(engine.run(engine.adapt(x))[0])
        assert outputs[-1].sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-5)
