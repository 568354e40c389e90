"""LCE's interpreter in a process of its own: answers, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sbn_converters.tflite import write as writer
from sbn_converters.tflite.model import Model, Operator, Tensor
from sbn_converters.tflite.write import write
from sbn_deploy.lce import process
from sbn_deploy.lce.interpreter import KERNELS, MODULE, Kernels, is_installed
from sbn_deploy.lce.process import run_lce
from sbn_runtime.errors import InputError, MissingDependencyError, ModelError

from .tiny import FLOAT, binary_layer, binary_sums, grouped_layer

needs_lce = pytest.mark.skipif(not is_installed(), reason="needs larq-compute-engine")


@needs_lce
@pytest.mark.parametrize("xnnpack", [False, True])
@pytest.mark.parametrize("kernels", KERNELS)
def test_every_sample_in_every_mode(kernels: Kernels, xnnpack: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = binary_layer(rng)
    x = rng.standard_normal((3, 4, 4, 40)).astype(np.float32)
    path = tmp_path / "model.tflite"
    path.write_bytes(write(model))
    sums, signs = run_lce(path, x, kernels=kernels, xnnpack=xnnpack, threads=2)
    np.testing.assert_array_equal(sums, binary_sums(model, x)[:, None])
    assert signs.shape == (3, 1, 4, 4, 2)
    assert signs.dtype == np.int32


@needs_lce
def test_pixels() -> None:
    model = Model(
        [
            Tensor("input", (1, 2, 3, 1), np.dtype(np.uint8)),
            Tensor("floats", (1, 2, 3, 1), FLOAT),
        ],
        [Operator("CAST", [0], [1], {"in_data_type": 3, "out_data_type": 0})],
        [0],
        [1],
    )
    pixels = np.random.default_rng(0).integers(0, 256, (4, 2, 3, 1)).astype(np.uint8)
    (floats,) = run_lce(write(model), pixels)
    np.testing.assert_array_equal(floats[:, 0], pixels.astype(np.float32))


@needs_lce
def test_a_damaged_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(write(binary_layer(np.random.default_rng(0)))[:-200])
    with pytest.raises(ModelError, match=str(path)):
        run_lce(path, np.zeros((1, 4, 4, 40), np.float32))


@needs_lce
def test_a_crash_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # Divides by its number of channels. Whatever the reader would say of it, the process has
    # to survive what the reader overlooks.
    weights = np.ones((1, 1, 1, 0), np.float32)
    model = Model(
        [
            Tensor("input", (1, 4, 4, 3), FLOAT),
            Tensor("weights", weights.shape, FLOAT, weights),
            Tensor("bias", (0,), FLOAT, np.zeros(0, np.float32)),
            Tensor("output", (1, 4, 4, 3), FLOAT),
        ],
        [Operator("DEPTHWISE_CONV_2D", [0, 1, 2], [3], {"stride_w": 1, "stride_h": 1})],
        [0],
        [3],
    )
    monkeypatch.setattr(writer, "check", lambda *_: None)
    monkeypatch.setattr(process, "read", lambda *_: model)
    with pytest.raises(ModelError, match=r"^bad\.tflite: LCE crashed on this file \(SIG\w+\)"):
        run_lce(write(model), np.zeros((1, 4, 4, 3), np.float32), name="bad.tflite")


@needs_lce
def test_a_refusal_says_why() -> None:
    """LCE's own kernels for x86 have no groups; others have."""
    model = grouped_layer()
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 64)).astype(np.float32)
    with pytest.raises(ModelError, match=r"refuses this file: .*LceBconv2d") as caught:
        run_lce(write(model), x, name="bad.tflite")
    assert str(caught.value).startswith("bad.tflite: ")
    assert "\n" not in str(caught.value)
    run_lce(write(model), x, kernels="indirect")


def test_an_interpreter_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "larq_compute_engine" / "tflite" / "python"
    folder.mkdir(parents=True)
    (tmp_path / "larq_compute_engine" / "__init__.py").touch()
    (folder / f"{MODULE}.so").write_bytes(b"not a library")
    monkeypatch.setattr(process, "check_installed", lambda: None)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", paths)
    data = write(binary_layer(np.random.default_rng(0)))
    with pytest.raises(ModelError, match=rf"does not run here: ImportError: .*{MODULE}"):
        run_lce(data, np.zeros((1, 4, 4, 40), np.float32))


@needs_lce
def test_a_file_that_takes_too_long() -> None:
    data = write(binary_layer(np.random.default_rng(0)))
    with pytest.raises(ModelError, match=r"did not finish within 0\.001 s"):
        run_lce(data, np.zeros((1, 4, 4, 40), np.float32), time_limit_s=0.001)


@needs_lce
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 4, 4, 39), np.float32),
        ((4, 4, 40), np.float32),
        ((1, 4, 4, 40), np.uint8),
        ((0,), "f4"),
    ],
)
def test_samples_that_do_not_fit(shape: tuple[int, ...], dtype: type) -> None:
    data = write(binary_layer(np.random.default_rng(0)))
    with pytest.raises(InputError, match=r"takes float32 \[N, 4, 4, 40\]"):
        run_lce(data, np.zeros(shape, dtype))


@needs_lce
def test_two_inputs() -> None:
    model = Model(
        [Tensor(name, (1, 6), FLOAT) for name in ("a", "b", "sum")],
        [Operator("ADD", [0, 1], [2])],
        [0, 1],
        [2],
    )
    with pytest.raises(ModelError, match="takes 2 inputs"):
        run_lce(write(model), np.zeros((1, 6), np.float32))


@needs_lce
def test_tensorflow_is_not_loaded(tmp_path: Path) -> None:
    model, inputs, outputs = (tmp_path / name for name in ("m.tflite", "x.npy", "y.npz"))
    model.write_bytes(write(binary_layer(np.random.default_rng(0))))
    np.save(inputs, np.zeros((1, 4, 4, 40), np.float32))
    arguments = ["worker", str(model), str(inputs), str(outputs)]
    code = (
        f"import sys; sys.argv = {arguments!r} + ['--kernels', 'indirect', '--threads', '1']\n"
        "from sbn_deploy.lce import worker; worker.main(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outputs.is_file()
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not {"tensorflow", "keras", "tf_keras", "torch", "onnx"} & loaded


@pytest.mark.skipif(is_installed(), reason="larq-compute-engine is installed")
def test_lce_is_optional() -> None:
    data = write(binary_layer(np.random.default_rng(0)))
    with pytest.raises(MissingDependencyError, match=r"sbn-deploy\[tflite\]"):
        run_lce(data, np.zeros((1, 4, 4, 40), np.float32))
