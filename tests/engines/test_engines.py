"""Every engine runs the same model, and gives the same answers under its own names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sbn_deploy.benchmark.torch_network import torch_engine
from sbn_deploy.engines.engine import example
from sbn_deploy.engines.lce import LceEngine, translated
from sbn_deploy.engines.onnx import kernel_engine, native_engine, stock_engine
from sbn_deploy.engines.session import session_engine
from sbn_deploy.engines.torch import TorchEngine
from sbn_deploy.lce.interpreter import is_installed
from sbn_deploy.untrained import export_untrained
from sbn_runtime import InputError, TensorInfo, available_isas, isa
from sbn_runtime.errors import MissingDependencyError, ModelError
from sbn_runtime.native import ISA_VARIABLE

from ..small_models import SIZE, Classifier

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 1, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def pixels_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_untrained("cifar-vgg", path, size=8, width=8)
    return path


@pytest.mark.parametrize("kernels", available_isas())
def test_each_kernel_set_can_be_chosen(kernels: str, tmp_path: Path) -> None:
    model = Classifier.random()
    before = isa(), os.environ.get(ISA_VARIABLE)
    engine = kernel_engine(model.write(tmp_path / "model.onnx"), threads=1, isa=kernels)
    assert (isa(), os.environ.get(ISA_VARIABLE)) == before
    output = engine.run({"input": IMAGES})
    np.testing.assert_array_equal(output["logits"], model.logits(IMAGES))


def test_ours_kernels_alone_and_stock_agree(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "model.onnx")
    ours = session_engine(path, threads=1)
    engines = [
        *(ours, kernel_engine(path.read_bytes(), threads=1, spin=False), stock_engine(path)),
        *(session_engine(path, threads=1, engine="native"), native_engine(path.read_bytes())),
    ]
    expected = ours.run({"input": IMAGES})
    for engine in engines:
        assert list(engine.inputs) == list(ours.inputs)
        found = engine.run({"input": IMAGES})
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-7)


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=f"{path}: not an ONNX model"):
        stock_engine(path)
    for engine in (kernel_engine, native_engine):
        with pytest.raises(ModelError, match="the model: cannot be loaded"):
            engine(b"nothing")


def test_examples_are_what_models_take(pixels_model: Path) -> None:
    inputs = [
        TensorInfo("image", "uint8", ("N", 4, 4, 1)),
        TensorInfo("vector", "float32", ("N", 5)),
        TensorInfo("index", "int64", (0,)),
    ]
    feed = example(inputs, 3)
    assert {name: (x.dtype.name, x.shape) for name, x in feed.items()} == {
        "image": ("uint8", (3, 4, 4, 1)),
        "vector": ("float32", (3, 5)),
        "index": ("int64", (3,)),
    }
    assert -1 <= feed["vector"].min() < 0 < feed["vector"].max() <= 1
    assert feed["image"].max() > 100
    assert not feed["index"].any()
    again = example(inputs, 3)
    assert all((again[name] == x).all() for name, x in feed.items())
    engine = session_engine(pixels_model, threads=1)
    assert len(engine.run(example(engine.inputs, 2))["probabilities"]) == 2


@pytest.mark.parametrize(
    ("shape", "message"),
    [(("N", "H"), "sizes of input 'x' are not fixed"), ((4, 2), "takes a batch of 4, not of 3")],
)
def test_inputs_that_fit_no_example(shape: tuple[int | str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        example([TensorInfo("x", "float32", shape)], 3)


def test_torch_computes_what_the_network_does() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5)).eval()
    before = torch.get_num_threads()
    try:
        engine = TorchEngine(network, [(1, 1, SIZE, SIZE)], threads=1)
        (found,) = engine.run({"input0": IMAGES}).values()
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        np.testing.assert_allclose(found, network(torch.from_numpy(IMAGES)), rtol=1e-5, atol=1e-6)


def test_torch_gets_fixed_signs() -> None:
    before = torch.get_num_threads()
    try:
        engine = torch_engine("cifar-vgg", {"size": 8, "width": 8}, [(1, 3, 8, 8)], threads=1)
        feed = example(engine.inputs, 2)
        first, second = (engine.run(feed)["output0"] for _ in range(2))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(is_installed(), reason="larq-compute-engine is installed")
def test_lce_is_optional(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="larq-compute-engine"):
        LceEngine(tmp_path / "none.tflite", threads=1, xnnpack=False)


@pytest.mark.skipif(not is_installed(), reason="needs larq-compute-engine")
def test_lce_runs_our_translation(pixels_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(translated(pixels_model))
    expected = session_engine(pixels_model, threads=1)
    for xnnpack in (False, True):
        engine = LceEngine(path, threads=1, xnnpack=xnnpack)
        feed = example(engine.inputs, 1)
        (image,) = feed.values()
        ours = expected.run({expected.inputs[0].name: image})
        shapes = {output.shape for output in engine.run(feed).values()}
        assert ours["logits"].shape in shapes
        nearest = min(
            float(np.abs(output - ours["logits"]).max())
            for output in engine.run(feed).values()
            if output.shape == ours["logits"].shape
        )
        assert nearest < 1e-3
    assert onnx.load(pixels_model).graph.input[0].name == expected.inputs[0].name
