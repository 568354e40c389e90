"""`sbn_runtime` as its users see it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest

from sbn_runtime import (
    InputError,
    IsaError,
    ModelError,
    Preprocess,
    Session,
    available_isas,
    isa,
    library_path,
)
from sbn_runtime.threads import MOST_THREADS

from ..small_models import (
    CLASSES,
    PREPROCESS,
    SIZE,
    Classifier,
    random_images,
    write_float_model,
    write_pixel_model,
)

CLASSIFIER = Classifier.random()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return CLASSIFIER.write(tmp_path / "model.onnx")


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, 1, SIZE, SIZE), np.float32)


def test_runs(model: Path, x: np.ndarray) -> None:
    session = Session(model, threads=1)
    outputs = session.run(x)
    logits = CLASSIFIER.logits(x)
    assert list(outputs) == ["logits", "probabilities"]
    np.testing.assert_array_equal(outputs["logits"], logits)
    np.testing.assert_array_equal(session.predict(x), logits.argmax(axis=1))
    assert session.predict(x).dtype == np.int64
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        session.predict_proba(x),
        exponentials / exponentials.sum(axis=1, keepdims=True),
        rtol=1e-5,
    )


def test_describes_itself(model: Path) -> None:
    session = Session(str(model))
    assert session.inputs == [("input", "float32", ("N", 1, SIZE, SIZE))]
    assert [output.name for output in session.outputs] == ["logits", "probabilities"]
    assert session.metadata["classes"] == list(CLASSES)
    assert str(model) in repr(session)


def test_metadata_is_empty_for_files_from_elsewhere(tmp_path: Path, x: np.ndarray) -> None:
    session = Session(CLASSIFIER.write(tmp_path / "model.onnx", metadata={}))
    assert session.metadata == {}
    assert len(session.predict(x)) == len(x)
    with pytest.raises(ModelError, match="does not record how images are normalised"):
        session.preprocess(random_images(1))


@pytest.mark.parametrize("name", available_isas())
def test_every_isa_computes_the_same(
    model: Path, x: np.ndarray, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBN_ISA", name)
    assert isa() == name
    np.testing.assert_array_equal(Session(model).run(x)["logits"], CLASSIFIER.logits(x))
    monkeypatch.delenv("SBN_ISA")
    # On 64-bit ARM the fastest one depends on the core.
    assert isa() in available_isas()[1 if "neon" in available_isas() else -1 :]


@pytest.mark.parametrize("name", sorted({"scalar", "avx2", "avx512", "neon"} - {*available_isas()}))
def test_isa_that_this_cpu_lacks(model: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBN_ISA", name)
    with pytest.raises(IsaError, match=f"'{name}': this CPU cannot run it; it can run scalar"):
        Session(model)


def test_unknown_isa(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBN_ISA", "AVX2")
    with pytest.raises(IsaError, match="'AVX2': no such kernel set; choose one of scalar, avx2"):
        Session(model)


def test_session_is_shared_by_threads(model: Path) -> None:
    session = Session(model, threads=2)
    batches = [
        np.random.default_rng(seed).standard_normal((seed + 1, 1, SIZE, SIZE), np.float32)
        for seed in range(32)
    ]
    with ThreadPoolExecutor(8) as pool:
        for batch, outputs in zip(batches, pool.map(session.run, batches), strict=True):
            np.testing.assert_array_equal(outputs["logits"], CLASSIFIER.logits(batch))


def test_library_serves_onnxruntime_directly(model: Path, x: np.ndarray) -> None:
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(library_path()))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(["logits"], {"input": x})[0], CLASSIFIER.logits(x))


def test_stock_onnxruntime_runs_the_file(model: Path, x: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(["logits"], {"input": x})[0], CLASSIFIER.logits(x))


def test_preprocess(model: Path) -> None:
    images = random_images(3)
    x = Session(model).preprocess(images)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    # Multiples of 1/8 are exact, so no tolerance is needed.
    np.testing.assert_array_equal(x, images.transpose(0, 3, 1, 2) / 8 - 1)


def test_models_on_pixels_take_images_as_they_are(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (3, 2, 2, 1)).astype(np.int8)
    session = Session(write_pixel_model(tmp_path / "pixels.onnx", weights))
    assert session.inputs[0].dtype == "uint8"
    images = random_images(5)
    given = session.preprocess(images)
    assert given is images
    blocks = images.reshape(5, 2, 2, 2, 2, 1).astype(np.int64)
    expected = np.einsum("nyaxbc,oabc->nyxo", blocks, weights.astype(np.int64))
    np.testing.assert_array_equal(session.run(given)["sums"], expected)
    with pytest.raises(InputError, match="above the model's largest, 16"):
        session.preprocess(images + np.uint8(200))
    hint = r"must be uint8, this is float32; the model takes the pixels of images as they are"
    with pytest.raises(InputError, match=hint):
        session.run(images.astype(np.float32))


def test_preprocess_reverses_channels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    mean, std = (0.1, 0.2, 0.3), (1.0, 0.5, 0.25)
    found = Preprocess(3, 4, 5, 255, mean, std, "bgr").apply(images)
    expected = Preprocess(3, 4, 5, 255, mean[::-1], std[::-1]).apply(images)[:, ::-1]
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_preprocess_survives_json(order: Literal["rgb", "bgr"]) -> None:
    preprocess = Preprocess(3, 2, 5, 255, (0.1, 0.2, 0.3), (1.0, 0.5, 0.25), order)
    assert Preprocess.from_json(json.loads(json.dumps(preprocess.to_json()))) == preprocess


@pytest.mark.parametrize(
    "change",
    [
        {"std": [0.0]},
        {"std": [0.5, 0.5]},
        {"mean": []},
        {"mean": "half"},
        {"pixel_max": 256},
        {"height": 0},
        {"width": None},
        {"order": "gbr"},
    ],
)
def test_damaged_preprocessing(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="preprocessing description"):
        Preprocess.from_json(PREPROCESS | change)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (random_images(1)[0], r"shape \[N, 4, 4, 1\] \(height, width, channels\), .*\[4, 4, 1\]"),
        (random_images(1).transpose(0, 3, 1, 2), r"these have \[1, 1, 4, 4\]"),
        (random_images(1) / np.float32(16), "images must be uint8, these are float32"),
        (random_images(1) + np.uint8(200), "above the model's largest, 16"),
    ],
)
def test_unfit_images(model: Path, images: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Session(model).preprocess(images)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.astype(np.float64), r"must be float32, this is float64; .*astype"),
        (lambda x: x.astype(np.uint8), r"must be float32, this is uint8; .*preprocess\(images\)"),
        (lambda x: x.tolist(), "must be a numpy array, this is list"),
        (lambda x: x[0], r"must have shape \[N, 1, 4, 4\], this has \[1, 4, 4\]"),
        (lambda x: x[:, :, :3], r"must have shape \[N, 1, 4, 4\], this has \[5, 1, 3, 4\]"),
        (lambda x: x[:0], "is empty"),
        (lambda x: np.where(x == x[0, 0, 0, 0], np.float32(np.nan), x), "contains NaN"),
    ],
)
def test_unfit_input(
    model: Path, x: np.ndarray, spoil: Callable[[np.ndarray], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Session(model).run(spoil(x))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused(model: Path, x: np.ndarray, value: float) -> None:
    x[1, 0, 0] = value
    with pytest.raises(InputError, match="input contains infinity"):
        Session(model).run(x)


def test_non_contiguous_input(model: Path, x: np.ndarray) -> None:
    turned = x.swapaxes(2, 3)
    np.testing.assert_array_equal(Session(model).run(turned)["logits"], CLASSIFIER.logits(turned))


@pytest.mark.parametrize("threads", [0, MOST_THREADS + 1, 10**9])
def test_threads_out_of_range(model: Path, threads: int) -> None:
    with pytest.raises(InputError, match=rf"threads must be 1 to {MOST_THREADS}, not {threads}"):
        Session(model, threads=threads)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
        Session(tmp_path / "none.onnx")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        Session(tmp_path)


def test_every_truncation_is_refused(model: Path) -> None:
    data = model.read_bytes()
    for length in [*range(64), *range(64, len(data), 97), len(data) - 1]:
        model.write_bytes(data[:length])
        with pytest.raises(ModelError) as caught:
            Session(model)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(np.random.default_rng(seed).bytes(1000))
    with pytest.raises(ModelError, match=r"noise\.onnx"):
        Session(path)


def test_model_without_sbn_operators(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no sbn operators; write the file with `sbn export`"):
        Session(write_float_model(tmp_path / "float.onnx"))


@pytest.mark.parametrize("metadata", ["{", "[]", "3"])
def test_damaged_metadata(tmp_path: Path, metadata: str) -> None:
    with pytest.raises(ModelError, match="metadata is damaged"):
        Session(CLASSIFIER.write(tmp_path / "model.onnx", metadata=metadata))


@pytest.mark.parametrize("change", [{"channels": 0}, {"channels": 65}, {"words": 2}])
def test_inconsistent_model(tmp_path: Path, x: np.ndarray, change: dict[str, int]) -> None:
    path = CLASSIFIER.write(tmp_path / "model.onnx", **change)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="DenseScale") as caught:
        Session(path).run(x)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_import_is_light() -> None:
    code = "import sys, sbn_runtime; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "onnx", "sklearn", "rich", "PIL", "matplotlib"} & set(modules)


@pytest.mark.parametrize("working_set", [1 << 18, 1 << 19, 1 << 30])
def test_batches_are_computed_in_pieces_that_fit_the_cache(
    tmp_path: Path, x: np.ndarray, working_set: int
) -> None:
    whole = Session(CLASSIFIER.write(tmp_path / "whole.onnx")).run(x)
    metadata = {"preprocess": PREPROCESS, "working_set": working_set}
    session = Session(CLASSIFIER.write(tmp_path / "pieces.onnx", metadata=metadata))
    sizes = []
    compute = session._executor._compute

    def record(names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(feeds["input"]))
        return compute(names, feeds)

    session._executor._compute = record  # type: ignore[method-assign]
    result = session.run(x)
    assert max(sizes) == min(len(x), max(1, (1 << 20) // working_set))
    assert sum(sizes) == len(x)
    for name, value in whole.items():
        np.testing.assert_array_equal(result[name], value)
